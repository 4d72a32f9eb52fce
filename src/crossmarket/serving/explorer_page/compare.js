/** View: two markets, or two versions of one, for the same user or history. */

import { list as askList } from "./api.js";
import { h, short, some } from "./dom.js";
import { field, form, lengthField, lengthOf, marketOf, marketSelect, select, strategyNote,
  versionOptions, whoAsks, whoFields } from "./forms.js";
import { list, notes } from "./list.js";
import { go } from "./state.js";

export const title = "Compare";
const SIDES = ["left", "right"];

export function show({ values, overview, answer, byId }) {
  const markets = SIDES.map((side, place) => marketOf(overview, values.get(side), place));
  const versions = SIDES.map((side, place) => {
    // One that is gone is asked for too: the service says that it is.
    const [[served]] = versionOptions(overview, markets[place]);
    return values.get(`${side}-version`) ?? served;
  });
  const who = whoFields(values, () => byId("left").value);
  const side = (own, place) => {
    const version = select(`${own}-version`, versionOptions(overview, markets[place]), versions[place]);
    const market = marketSelect(own, overview, markets[place]);
    market.addEventListener("change", () => version.replaceChildren(
      ...versionOptions(overview, market.value).map(([value, text]) => h("option", { value }, text))));
    return h("fieldset", {}, h("legend", {}, place ? "Second list" : "First list"),
      field("Market", market), field("Version", version));
  };
  const send = () => go("compare", { ...Object.fromEntries(SIDES.flatMap((own) =>
    [own, `${own}-version`].map((name) => [name, byId(name).value]))), ...who.read(), k: byId("k").value });
  const asked = whoAsks(values);
  return [
    h("p", { class: "lead" }, "Put two markets, or two versions of one, side by side for the same "
      + "user or history."),
    form("Comparison", send, SIDES.map(side), who.whole, lengthField(lengthOf(values))),
    asked === null ? null : answer(async (signal) => {
      const ask = (place) => askList(markets[place],
        { ...asked, k: lengthOf(values), version: versions[place] }, signal);
      return shown(await Promise.all([ask(0), ask(1)]));
    }),
  ];
}

const places = (answer) => new Map(answer.items.map((item, place) => [item.id, place]));
const badge = (kind, text, told) => h("span", { class: `badge ${kind}`, title: told }, text);

function shown(answers) {
  const [before, after] = answers.map(places);
  const both = [...before.keys()].filter((own) => after.has(own));
  const stayed = both.filter((own) => before.get(own) === after.get(own));
  const marks = [
    (item) => (after.has(item.id) ? null : badge("gone", "✕ gone", "Not in the other list")),
    (item, place) => {
      if (!before.has(item.id)) return badge("new", "● new", "Not in the other list");
      const moved = before.get(item.id) - place;
      if (moved === 0) return badge("same", "= same", "At the same rank in both lists");
      return moved > 0 ? badge("up", `▲ up ${moved}`, "Higher than in the other list")
        : badge("down", `▼ down ${-moved}`, "Lower than in the other list");
    },
  ];
  const summary = `${some(both.length, "item is", "items are")} in both lists, ${stayed.length} of them at the same rank; `
    + `the second list lacks ${before.size - both.length} of the first and has ${after.size - both.length} new.`;
  return { said: summary, nodes: [
    h("h2", {}, "Differences"),
    h("p", {}, summary),
    h("div", { class: "sides" }, answers.map((answer, place) =>
      h("section", { "aria-label": place ? "Second list" : "First list" },
        h("h3", {}, `${place ? "Second" : "First"}: ${answer.market} `, h("code", { title: answer.version }, short(answer.version))),
        strategyNote(answer), notes(answer), list(answer, marks[place])))),
  ] };
}
