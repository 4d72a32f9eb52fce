/** Fields that views share, and the words for how a list was made. */

import { h, short } from "./dom.js";
import { format, parse } from "./ids.js";
import { suggesting } from "./suggest.js";

const LONGEST = 1000;

/** A field with its name; `control` may be in a box of its own. */
export function field(name, control, hint = null, box = control) {
  if (hint !== null) control.setAttribute("aria-describedby", `${control.id}-hint`);
  return h("div", { class: "field" }, h("label", { for: control.id }, name), box,
    hint && h("small", { id: `${control.id}-hint` }, hint));
}

export const tick = (box, text) =>
  h("div", { class: "field" }, h("label", { for: box.id }, box, text));

/** A choice of [value, text] pairs. */
export const select = (own, options, chosen, attributes = {}) =>
  h("select", { id: own, ...attributes }, options.map(([value, text]) =>
    h("option", { value, selected: value === chosen }, text)));

export const marketSelect = (own, overview, chosen) =>
  select(own, overview.markets.map(({ market }) => [market, market]), chosen);

/** The market of the address if it can answer, else another one. */
export function marketOf(overview, name, place = 0) {
  const names = overview.markets.map(({ market }) => market);
  return names.includes(name) ? name : names[Math.min(place, names.length - 1)];
}

/** The versions of a market that can answer, as options. */
export const versionOptions = (overview, name) =>
  overview.markets.find(({ market }) => market === name).versions
    .map((version, place) => [version, `${short(version)} (${place ? "earlier" : "served"})`]);

export const lengthField = (chosen) => field("Length of the list",
  h("input", { id: "k", type: "number", min: 1, max: LONGEST, value: chosen, required: "" }));

export const lengthOf = (values) => {
  const k = Number(values.get("k") ?? 10);
  return Number.isInteger(k) && k >= 1 && k <= LONGEST ? k : 10;
};

const single = (attributes) => h("input", { type: "text", autocomplete: "off", spellcheck: "false",
  autocapitalize: "off", ...attributes });

export function itemField(own, text, market) {
  const item = single({ id: own, value: text, required: "" });
  return field("Item", item, null, suggesting(item, market, false));
}

/**
 * Who asks: a user of the market, or whoever has a history.
 * @param market gives the name of the market whose items are suggested
 */
export function whoFields(values, market) {
  const items = values.getAll("item");
  const byHistory = values.get("by") === "history" || (items.length > 0 && !values.get("user"));
  const user = single({ id: "user", value: values.get("user") ?? "" });
  const history = h("textarea", { id: "history", rows: 4, spellcheck: "false",
    autocapitalize: "off" });
  history.value = format(items);
  const parts = {
    user: field("User id", user, "Ids are never listed; type one that you know."),
    history: field("Items of the history", history,
      "One on a line, or separated by commas, of whatever market.", suggesting(history, market, true)),
  };
  const radios = Object.fromEntries([["user", "A user"], ["history", "A history"]].map(([own, text]) =>
    [own, [h("input", { type: "radio", name: "by", id: `by-${own}`, value: own,
      checked: (own === "history") === byHistory, on: { change: () => turn() } }), text]]));
  const turn = () => {
    for (const [own, [radio]] of Object.entries(radios)) parts[own].hidden = !radio.checked;
  };
  turn();
  const whole = h("fieldset", {}, h("legend", {}, "For whom"),
    h("div", { class: "choices" }, Object.entries(radios).map(([own, [radio, text]]) =>
      h("label", { for: `by-${own}` }, radio, text))),
    parts.user, parts.history);
  const read = () => (radios.user[0].checked
    ? { by: "user", user: user.value } : { by: "history", item: parse(history.value) });
  return { whole, read };
}

/** Who asks, as the service is asked; null while nobody was named. */
export function whoAsks(values) {
  if (values.get("by") === "history" || !values.get("user")) {
    const history = values.getAll("item");
    return history.length || values.get("by") ? { history } : null;
  }
  return { user: values.get("user") };
}

/** A form that shows what it asks for when it is sent. */
export const form = (name, submit, ...children) => h("form", { "aria-label": name,
  on: { submit: (event) => { event.preventDefault(); submit(); } } },
  children, h("button", { type: "submit", class: "primary", id: "send" }, "Show"));

const STRATEGIES = {
  prompted: "The user is known here; the market's prompts adapt the shared backbone.",
  personal: "The user is known here and has a list of its own.",
  backbone: "The user is known here; the shared backbone answers, the market has no prompts.",
  "fold-in": "Made from the history alone, for somebody who is not known here.",
  popular: "What most users of the market took: nothing is known of who asks.",
};

/** How a list was made, in a word and a sentence. */
export const strategyNote = (answer) => h("p", { class: "strategy" },
  h("strong", {}, answer.strategy), " ", STRATEGIES[answer.strategy] ?? "");
