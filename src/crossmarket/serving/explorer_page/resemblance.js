/** View: heat maps of all pairs of markets. */

import { count, h, percent, table } from "./dom.js";
import { fragment } from "./state.js";

export const title = "Resemblance";

export function show({ overview }) {
  const names = overview.markets.map(({ market }) => market);
  if (names.length < 2) return [h("p", { class: "missing" }, "One market alone resembles no other.")];
  const { overlap, jaccard, cosine } = overview;
  return [
    h("p", { class: "lead" }, "How much any two markets resemble each other. A stronger tint is more alike; "
      + "a pair leads to its comparison."),
    extremes(names, jaccard),
    h("div", { class: "maps" },
      map("Items in common: share of the items of either market that both sell, and their number",
        names, jaccard, (row, column) => [percent(jaccard[row][column]),
          h("small", {}, count(overlap[row][column]))], (row) => count(overlap[row][row])),
      map("Purchases alike: cosine similarity of how often each item was bought",
        names, cosine, (row, column) => cosine[row][column].toFixed(2), () => "1")),
  ];
}

function map(caption, names, values, told, own) {
  const top = Math.max(...values.flatMap((row, place) => row.filter((_, other) => other !== place))) || 1;
  const rows = names.map((name, row) => [name, ...names.map((other, column) => (row === column
    ? h("td", { class: "own" }, own(row))
    : h("td", { class: "heat", "--heat": Math.round((100 * values[row][column]) / top) },
      h("a", { href: fragment("compare", { left: name, right: other }) }, told(row, column)))))]);
  return h("div", { class: "map" }, table(caption, ["", ...names], rows));
}

function extremes(names, values) {
  const pairs = names.flatMap((name, row) => names.slice(row + 1).map((other, place) =>
    [values[row][row + 1 + place], `${name} and ${other}`])).sort((a, b) => b[0] - a[0]);
  const [most, least] = [pairs[0], pairs.at(-1)];
  const first = `${most[1]} share most of their items (${percent(most[0])})`;
  return h("p", {}, pairs.length > 1
    ? `${first}, ${least[1]} least (${percent(least[0])}).` : `${first}.`);
}
