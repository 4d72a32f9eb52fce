/** A list: its items, their scores as bars, and the reasons. */

import { aligned, h, id, named, s, signed } from "./dom.js";
import { fragment } from "./state.js";

const WIDTH = 240, HEIGHT = 16;

const EVIDENCE = {
  exact: "Below an item stand the items of the history that count most, with their exact effects: "
    + "the score less the score without them.",
  "fold-in": "Below an item stand the items of the history that count most. A known user's vector "
    + "holds more than the history, so the effects are those on a new user with the same history.",
  none: "This system does not say which items of a history count.",
};

/** Whether a score has parts: only that of a system with prompts does. */
const hasParts = (why) => typeof why?.backbone === "number";

/** Bars of scores on one scale: the backbone's part, and what the prompts add or take away. */
function barOf(items) {
  const ends = items.flatMap(({ score, why }) => [0, score, why?.backbone ?? 0]);
  const least = Math.min(...ends), span = Math.max(...ends) - least || 1;
  const x = (value) => 1 + ((WIDTH - 2) * (value - least)) / span;
  const piece = (kind, from, to, inset) => s("rect", { class: kind, x: Math.min(x(from), x(to)),
    width: Math.abs(x(to) - x(from)), y: inset, height: HEIGHT - 2 * inset });
  return ({ score, why }) => {
    const parts = hasParts(why)
      ? [piece("backbone", 0, why.backbone, 2),
        piece(why.prompt < 0 ? "takes" : "adds", why.backbone, score, why.prompt < 0 ? 5 : 2)]
      : [piece("whole", 0, score, 2)];
    const zero = s("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: HEIGHT });
    return s("svg", { class: "bar", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true",
      preserveAspectRatio: "none" }, parts, zero);
  };
}

const sum = ({ score, why }, write) => (hasParts(why)
  ? [h("strong", {}, write(score)), ` = ${write(why.backbone)} backbone `,
    `${why.prompt < 0 ? "−" : "+"} ${write(Math.abs(why.prompt))} prompts`]
  : write(score));

function reasons(why, write) {
  if (!why?.reasons.length) return null;
  return h("ul", { class: "reasons", "aria-label": "Items of the history that count most" },
    why.reasons.map((one) => h("li", {}, named(one), ` ${signed(write(one.effect))}`)));
}

const key = (kind, text) => h("li", {}, h("span", { class: `swatch ${kind}` }), text);

/** What the bars and the effects mean; nothing where no explanation was asked for. */
export function legend(answer) {
  const why = answer.items[0]?.why;
  if (!why) return null;
  return h("div", { class: "legend" },
    hasParts(why) ? h("ul", {},
      key("backbone", "backbone: what all markets share"),
      key("adds", "prompts of this market add"),
      key("takes", "prompts of this market take away")) : null,
    answer.strategy === "popular" ? null : h("p", {}, EVIDENCE[why.evidence]));
}

/** The items of an answer; `mark` may add something to a row. */
export function list(answer, mark = () => null) {
  const bar = barOf(answer.items);
  const write = aligned(answer.items.map(({ score }) => score));
  return h("ol", { class: "list" }, answer.items.map((item, place) => h("li", {},
    h("span", { class: "rank" }, place + 1),
    h("div", { class: "what" },
      h("a", { href: fragment("similar", { market: answer.market, item: item.id }),
        title: "Similar items" }, named(item)),
      mark(item, place), reasons(item.why, write)),
    h("div", { class: "score" }, bar(item), h("span", {}, sum(item, write))))));
}

/** What an answer says beside its items. */
export function notes(answer) {
  const found = [];
  if (answer.ignored.length) {
    found.push(h("p", { class: "note" }, "Not known here: ",
      answer.ignored.flatMap((own, place) => [place ? ", " : "", id(own)]), "."));
  }
  if (answer.short) {
    found.push(h("p", { class: "note" }, `Fewer items than asked for were left: ${answer.items.length}.`));
  }
  return found;
}
