/** View: the list of a user or of a history, and why. */

import { list as askList } from "./api.js";
import { h, id, short, some } from "./dom.js";
import { field, form, lengthField, lengthOf, marketOf, marketSelect, strategyNote, tick,
  whoAsks, whoFields } from "./forms.js";
import { legend, list, notes } from "./list.js";
import { fragment, go } from "./state.js";

export const title = "Lists";

export function show({ values, overview, answer, byId }) {
  const market = marketOf(overview, values.get("market"));
  const who = whoFields(values, () => byId("market").value);
  const seen = h("input", { type: "checkbox", id: "seen", checked: values.has("seen") });
  const send = () => go("lists", { market: byId("market").value, ...who.read(),
    k: byId("k").value, seen: seen.checked });
  const asked = whoAsks(values);
  return [
    h("p", { class: "lead" }, "See the list that a market gives, and where each score comes from."),
    form("List", send, field("Market", marketSelect("market", overview, market)), who.whole,
      lengthField(lengthOf(values)), tick(seen, "Keep what the user already took")),
    asked === null ? null : answer(async (signal) => {
      const body = { ...asked, k: lengthOf(values), explain: true, include_seen: values.has("seen") };
      return shown(await askList(market, body, signal), asked, values);
    }),
  ];
}

function shown(found, asked, values) {
  const length = asked.history?.length;
  const whom = asked.user !== undefined ? ["user ", id(asked.user)]
    : length ? `a history of ${some(length, "item", "items")}` : "anybody";
  const same = { by: values.get("by"), user: values.get("user"), item: values.getAll("item"),
    k: values.get("k"), left: found.market };
  return { said: `${some(found.items.length, "item", "items")}, ${found.strategy}`, nodes: [
    h("h2", {}, `${some(found.items.length, "item", "items")} in ${found.market} for `, whom),
    strategyNote(found),
    notes(found),
    legend(found),
    list(found),
    h("p", { class: "origin" }, "From version ", h("code", { title: found.version }, short(found.version)),
      ". ", h("a", { href: fragment("compare", same) }, "Compare with another market or version")),
  ] };
}
