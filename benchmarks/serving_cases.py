"""Requests that nobody should send, as bytes, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from service import request

USERS = [f"user-{number:06}" for number in range(50)]
ITEMS = [f"item-{number:06}" for number in range(50)]
CLOSE = "Connection: close"
LISTS = "/v1/markets/{market}/recommendations"
#: Names that no market has, though a path, a URL or another system might understand them.
NAMES = (
    "..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%252e%252e", "..%5c..%5cwindows", "\\", "xx%5c",
    "xx%00", "%00", "xx%0d%0aSet-Cookie:%20a", "%c0%ae%c0%ae", "%ef%bc%8e%ef%bc%8e", "%e2%80%a4",
    "%e2%80%a5", "CON", "nul", "XX", "Xx", "xx%20", "xx.", "xx%2f", "file:%2f%2f%2fetc", "%", "%zz",
    "%u002e", "%f0%9f%92%a9", "%d1%85%d1%85", "-xx", "a" * 7_000, "a" * 10_000, "%2e" * 2_000,
)  # fmt: skip
METHODS = (
    "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "PURGE", "SEARCH",
    "M-SEARCH", "LOCK", "get", "GET\t", "", "G" * 300, "PRI", "GÉT",
)  # fmt: skip
HEADERS = (
    "Host: evil.example", "Host:", "Content-Length: 0", "Content-Length: 7", "Expect: 100-continue",
    "Expect: something", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
    "Content-Type: text/plain", "Content-Type: application/json; charset=utf-16", "Upgrade: h2c",
    "Content-Encoding: gzip", "Connection: keep-alive, Upgrade", "Range: bytes=0-1", "X:", ": x",
    "X : y", "X: \x00", "X: \x7f\xff", "X: " + "y" * 9_000, "Cookie: " + "a=b; " * 500,
    "X-Forwarded-Host: evil.example", "X-HTTP-Method-Override: DELETE", "Authorization: Bearer",
    "Authorization: Basic Og==", "Accept: application/xml", "Accept-Encoding: br;q=9", " folded",
)  # fmt: skip
BODIES = (
    b"[" * 100_000, b'{"a":' * 50_000, b"[" * 500 + b"]" * 500, b'{"k": ' + b"9" * 5_000 + b"}",
    b'{"k": 1e400}', b'{"k": -1}', b'{"k": NaN}', b'{"k": Infinity}', b'{"k": 1.0000000001}',
    b'{"k": 1, "k": 2}', b'{"user": "\\ud800"}', b'{"user": "\xff\xfe"}', b'{"user": "a\\u0000b"}',
    b'{"user": ' + b'"' + b"u" * 5_000 + b'"}', b'{"user": null, "history": null}', b"null", b"0",
    b'{"history": [' + b'"i",' * 1_500 + b'"i"]}', b'{"history": [[]]}', b'{"history": "item"}',
    b'{"include": []}', b'{"include": {}}', b'{"explain": 1}', b'{"__proto__": {}}', b"", b"\x00",
    b'{"user": "user-000001"} {}', b"\xef\xbb\xbf{}", b'{"k": true}', b"{" * 10 + b"}" * 10, b"{,}",
    b'{"requests": []}', b'{"requests": [{}, {"k": 0}]}', b'{"requests": ' + b"[" * 2_000,
    b'{"exclude": [' + b'"x",' * 10_001 + b'"x"]}', "{“k”: 1}".encode(), b"'{}'", b'{"k": 0x10}',
)  # fmt: skip


class Cases:
    """Draws requests; `kinds` are methods by name, each of which makes one."""

    def __init__(self, market: str, seed: int) -> None:
        self._market, self._draw = market, random.Random(seed)
        self.kinds: dict[str, Callable[[], bytes]] = {
            name: getattr(self, name)
            for name in (
                "mutated", "methods", "percent", "headers", "chunks", "lengths", "pipelined",
                "smuggled", "nul", "bodies", "names",
            )
        }  # fmt: skip

    def valid(self, *headers: str, market: str | None = None) -> bytes:
        """A request that is right but for what is put in."""
        draw, base = self._draw, f"/v1/markets/{market or self._market}"
        user, item = draw.choice(USERS), draw.choice(ITEMS)
        one = b'{"user": "%s", "k": 3}' % user.encode()
        choices: list[tuple[str, str, bytes]] = [
            ("GET", f"{base}/users/{user}/recommendations?k=5", b""),
            ("GET", f"{base}/items/{item}/similar", b""),
            ("GET", base, b""),
            ("GET", draw.choice(["/v1/markets", "/readyz", "/livez", "/openapi.json"]), b""),
            ("POST", f"{base}/recommendations", one),
            ("POST", f"{base}/recommendations", b'{"history": ["%s"]}' % item.encode()),
            ("POST", f"{base}/batch", b'{"requests": [%s]}' % one),
        ]
        method, path, body = draw.choice(choices[:3] + choices[4:] if market else choices)
        return request(method, path, body, *headers)

    def mutated(self) -> bytes:
        """Some bytes changed, taken out, put in, doubled, or the end cut off."""
        draw, data = self._draw, bytearray(self.valid(CLOSE))
        for _ in range(draw.choice([1, 1, 2, 3, 8])):
            start = draw.randrange(len(data)) if data else 0
            stop = start + draw.choice([1, 1, 2, 8, 40])
            made = draw.choice([draw.randbytes(stop - start), data[start:stop] * 2, b""])
            data[start : draw.choice([start, stop])] = made
        return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data)

    def methods(self) -> bytes:
        """A method that the address does not take, or nobody knows."""
        first, _, rest = self.valid(CLOSE).partition(b" ")
        return self._draw.choice([*METHODS, first.decode()]).encode("latin-1") + b" " + rest

    def percent(self) -> bytes:
        """Any bytes, percent-encoded well or badly, in place of an id or a query."""
        draw = self._draw
        forms = ("%{:02x}", "%{:02X}", "%{:x}", "%%{:02x}", "%25{:02x}", "%u00{:02x}")
        text = "".join(draw.choice(forms).format(one) for one in draw.randbytes(draw.randint(1, 9)))
        base = f"/v1/markets/{self._market}"
        queries = (f"?k={text}", f"?{text}=1", f"?k=1&k={text}", "?k=1;", "?include_seen=" + text)
        paths = [f"{base}/users/{text}/recommendations", f"{base}/items/{text}/similar", f"/{text}"]
        paths += [f"{base}/users/u/recommendations{draw.choice(queries)}"]
        return request("GET", draw.choice(paths), b"", CLOSE)

    def headers(self) -> bytes:
        """Headers that mean something else, or nothing."""
        some = self._draw.choices(HEADERS, k=self._draw.choice([1, 1, 2, 4, 30]))
        return self.valid(CLOSE, *some)

    def chunks(self) -> bytes:
        """A body in chunks of one byte, with sizes and ends that may be wrong."""
        draw = self._draw
        body = b'{"user": "%s"}' % draw.choice(USERS).encode()
        sizes = (b"1", b"1", b"1", b"1", b"01", b"1;a=b", b"g", b"2", b"-1", b"f" * 17)
        wrong = draw.random() < 0.5
        data = b"".join(
            (draw.choice(sizes) if wrong else b"1") + b"\r\n%c\r\n" % one for one in body
        )
        data += draw.choice([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0\r\n"])
        return self._head("Transfer-Encoding: chunked") + data

    def lengths(self) -> bytes:
        """A length that is not the body's."""
        draw, body = self._draw, b'{"k": 3}'
        texts = ("0", "1", "7", "9", "100", "-1", "+8", "08", "8 ", "8,8", "0x8", "8.0", "", "²")
        length = draw.choice([*texts, "9" * 30, str(2**31), str(2**64), "2097153"])
        return self._head(f"Content-Length: {length}") + body

    def pipelined(self) -> bytes:
        """Several requests at once, the last of which may be wrong."""
        several = [self.valid() for _ in range(self._draw.randint(1, 12))]
        return b"".join(several) + self._draw.choice([self.valid, self.mutated])(*())

    def smuggled(self) -> bytes:
        """One request to who reads its length, two to who reads its chunks."""
        draw, hidden = self._draw, request("GET", "/v1/markets", b"", CLOSE)
        forms = (
            "Transfer-Encoding: chunked", "Transfer-encoding:chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: xchunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: x",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        )  # fmt: skip
        body = b"0\r\n\r\n" + hidden
        both = [f"Content-Length: {draw.choice([len(body), 5, 4, 6])}", draw.choice(forms)]
        draw.shuffle(both)
        return self._head(*both) + body

    def nul(self) -> bytes:
        """NUL bytes anywhere."""
        data = bytearray(self.valid(CLOSE))
        for _ in range(self._draw.randint(1, 4)):
            data.insert(self._draw.randrange(len(data)), 0)
        return bytes(data)

    def bodies(self) -> bytes:
        """JSON that is deep, large, doubled, or none."""
        path = self._draw.choice(["recommendations", "recommendations", "batch"])
        body = self._draw.choice(BODIES)
        return request("POST", f"/v1/markets/{self._market}/{path}", body, CLOSE)

    def names(self) -> bytes:
        """A market that might be a path."""
        return self.valid(CLOSE, market=self._draw.choice(NAMES))

    def _head(self, *headers: str) -> bytes:
        path = LISTS.format(market=self._market)
        more = ("Content-Type: application/json", CLOSE, *headers)
        return request("POST", path, b"", *more)
