/** View: what an evaluation measured in each market, and what the other markets gave it. */

import { cell, count, digits, h, number, signed, table } from "./dom.js";

export const title = "Quality";

const ORDER = ["ndcg@10", "recall@10", "hit@10", "mrr@10", "map@10", "coverage@10", "popularity@10"];
const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

/** Metrics that any of some records has, the usual ones first. */
const named = (records) => [...new Set(records.flatMap((one) => Object.keys(one)))]
  .filter((name) => name !== "users")
  .sort((a, b) => place(a) - place(b) || a.localeCompare(b));

export function show({ overview }) {
  const measured = overview.markets.filter(({ quality }) => quality !== null);
  const without = overview.markets.filter(({ quality }) => quality === null);
  return [
    h("p", { class: "lead" }, "Means over the users whose held-out items were ranked. Markets differ in "
      + "users and in what was held out: compare systems within a market, not markets."),
    measured.length ? metricsTable(measured) : null,
    without.length ? missing(`Not measured: ${without.map(({ market }) => market).join(", ")}. `,
      "crossmarket evaluate", " before packaging puts the metrics into a market's folder.") : null,
    h("h2", {}, "Transfer gain"),
    gains(measured),
  ];
}

const missing = (before, command, after) =>
  h("p", { class: "missing" }, before, h("code", {}, command), after);

/** Cells tinted by their share of the column's largest value. */
function tinted(records, name, text) {
  const top = Math.max(...records.map((one) => one[name] ?? 0));
  return (record) => {
    if (record[name] === undefined) return number("–");
    const heat = top > 0 ? Math.round((100 * Math.max(record[name], 0)) / top) : 0;
    return number(text(record[name]), { class: "number heat", "--heat": heat });
  };
}

function metricsTable(measured) {
  const records = measured.map(({ quality }) => quality.metrics);
  const names = named(records);
  const columns = names.map((name) => tinted(records, name, digits));
  return table("Quality of each market's lists; a stronger tint is more, column by column",
    ["market", "protocol", "#seed", "#users", ...names.map((name) => `#${name}`)],
    measured.map(({ market, quality }) => [market, cell(quality.protocol), number(quality.seed),
      number(quality.metrics.users === undefined ? "–" : count(quality.metrics.users)),
      ...columns.map((column) => column(quality.metrics))]));
}

function gains(measured) {
  const known = measured.filter(({ quality }) => quality.gain !== null);
  if (!known.length) {
    return missing("Not measured: ", "crossmarket evaluate RUN --alone", " before packaging also learns each "
      + "market alone, and the difference stands here.");
  }
  const names = named(known.map(({ quality }) => quality.gain));
  const unknown = measured.filter((one) => !known.includes(one)).map(({ market }) => market);
  return [
    table("Difference to the same system learned from the market alone; above 0 the others helped",
      ["market", ...names.map((name) => `#${name}`)],
      known.map(({ market, quality }) => [market, ...names.map((name) => gainCell(quality.gain[name]))])),
    unknown.length ? h("p", { class: "missing" }, `Not measured: ${unknown.join(", ")}.`) : null,
  ];
}

const gainCell = (value) => (value === undefined ? number("–")
  : number(`${value < 0 ? "▼" : "▲"} ${signed(digits(value))}`));
