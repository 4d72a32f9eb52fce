/** View: all markets with their sizes, systems and versions. */

import { cell, count, digits, h, number, said, short, table } from "./dom.js";
import { fragment } from "./state.js";

export const title = "Markets";

export function show({ overview }) {
  const rows = overview.markets.map((one) => [
    h("a", { href: fragment("lists", { market: one.market }) }, one.market),
    number(count(one.users)), number(count(one.items)), number(count(one.interactions)),
    number(one.users ? (one.interactions / one.users).toFixed(1) : "–"),
    cell(one.strategy), cell(one.system),
    cell(h("code", { title: one.version }, short(one.version))),
    number(count(one.versions.length)),
  ]);
  return [
    h("p", { class: "lead" }, "What is served: every market stands on the same backbone and comes, "
      + "changes and goes alone."),
    table("Markets that answer", ["market", "#users", "#items", "#interactions", "#per user",
      "known users get", "system", "version", "#versions in memory"], rows),
    overview.unavailable.length ? h("p", { class: "refusal" },
      `Left out, because their files did not pass verification: ${overview.unavailable.join(", ")}.`) : null,
    overview.markets.length ? said(`Together ${count(total(overview, "users"))} users and `
      + `${digits(total(overview, "interactions"))} interactions.`) : null,
  ];
}

const total = (overview, name) => overview.markets.reduce((sum, one) => sum + one[name], 0);
