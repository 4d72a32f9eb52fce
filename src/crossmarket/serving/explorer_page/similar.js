/** View: items of a market that are most like one of them. */

import { similar } from "./api.js";
import { h, id } from "./dom.js";
import { field, form, itemField, lengthField, lengthOf, marketOf, marketSelect } from "./forms.js";
import { list } from "./list.js";
import { fragment, go } from "./state.js";

export const title = "Similar items";

export function show({ values, overview, answer, byId }) {
  const market = marketOf(overview, values.get("market"));
  const item = values.get("item");
  const send = () => go("similar",
    { market: byId("market").value, item: byId("item").value, k: byId("k").value });
  return [
    h("p", { class: "lead" }, "See which items a market takes for alike. Follow an item to the items like it."),
    form("Item", send, field("Market", marketSelect("market", overview, market)),
      itemField("item", item ?? "", () => byId("market").value), lengthField(lengthOf(values))),
    item === null ? null : answer(async (signal) => {
      const found = await similar(market, item, lengthOf(values), signal);
      return { said: `${found.items.length} similar items`, nodes: [
        h("h2", {}, `Items in ${market} like `, id(item)),
        h("p", {}, "The system's own measure, 1 for the same direction where it is a cosine. ",
          h("a", { href: fragment("lists", { market, by: "history", item }) },
            "The list for a history of this item")),
        list(found),
      ] };
    }),
  ];
}
