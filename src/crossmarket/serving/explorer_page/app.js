/** The page: which view is shown, the key it needs, and what went wrong. */

import { forgetKey, hasKey, overview, useKey } from "./api.js";
import * as compare from "./compare.js";
import { count, h, short } from "./dom.js";
import { field, tick } from "./forms.js";
import * as lists from "./lists.js";
import * as markets from "./markets.js";
import * as prompts from "./prompts.js";
import * as quality from "./quality.js";
import * as resemblance from "./resemblance.js";
import * as similar from "./similar.js";
import { fragment, read } from "./state.js";

const VIEWS = { lists, compare, similar, markets, resemblance, quality, prompts };
const byId = (own) => document.getElementById(own);
const main = byId("main");
let running = new AbortController();

const tell = (text) => { byId("status").textContent = text; };
const refusal = (sentence) => h("p", { class: "refusal", role: "alert" }, sentence);

function navigation(chosen) {
  byId("views").replaceChildren(...Object.entries(VIEWS).map(([name, view]) => h("li", {},
    h("a", { id: `view-${name}`, href: fragment(name), "aria-current": name === chosen ? "page" : null },
      view.title))));
}

function about(found) {
  const systems = [...new Set(found.markets.map(({ system }) => system))].join(", ");
  const backbone = found.markets[0]?.backbone;
  byId("about").replaceChildren(
    `${systems} · ${count(found.markets.length)} markets`,
    ...(backbone ? [" · backbone ", h("code", { title: backbone }, short(backbone))] : []),
    ...(hasKey() ? [" · ", h("button", { type: "button", class: "plain", id: "forget",
      on: { click: () => { forgetKey(); show(); } } }, "Forget the key")] : []));
}

/** Ask for the key; nothing of it goes anywhere but to this service. */
function keyForm(refused) {
  const key = h("input", { id: "key", type: "password", autocomplete: "off", required: "",
    pattern: "[!-~]+", title: "A key has no blanks and no letters beyond ASCII" });
  const keep = h("input", { id: "keep", type: "checkbox" });
  const use = (event) => {
    event.preventDefault();
    useKey(key.value, keep.checked);
    show();
  };
  main.replaceChildren(h("h1", {}, "This service asks for a key"),
    refused ? refusal("The service does not take this key.") : "",
    h("form", { "aria-label": "Key", on: { submit: use } },
      field("Read key", key, "It is kept in the memory of this page and sent to this service only."),
      tick(keep, "Keep it until this tab is closed"),
      h("button", { type: "submit", class: "primary" }, "Open")));
  key.focus();
}

/** A part of the page that comes later: a promise of nodes, and of what to tell. */
function later(promise) {
  const place = h("section", { class: "answer", "aria-busy": "true" }, h("p", {}, "Asking …"));
  promise.then(({ nodes, said }) => {
    place.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
    tell(said);
  }, (error) => {
    if (error.name === "AbortError") return;
    if (error.code === "unauthorised") keyForm(hasKey());
    else place.replaceChildren(refusal(error.message));
  }).finally(() => place.removeAttribute("aria-busy"));
  return place;
}

async function show() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const { view: wanted, values } = read();
  const name = wanted in VIEWS ? wanted : "lists";
  const view = VIEWS[name];
  const focused = document.activeElement?.id;
  const inside = main.contains(document.activeElement);
  navigation(name);
  document.title = `${view.title} – crossmarket explorer`;
  tell("");
  main.setAttribute("aria-busy", "true");
  let found;
  try {
    found = await overview(signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    main.removeAttribute("aria-busy");
    if (error.code === "unauthorised") keyForm(hasKey());
    else main.replaceChildren(refusal(error.message));
    return;
  }
  main.removeAttribute("aria-busy");
  about(found);
  const gone = missing(values, found);
  const answer = gone.length ? () => null : (make) => later(make(signal));
  const nodes = found.markets.length ? view.show({ values, overview: found, byId, answer })
    : [refusal("No market can answer at the moment.")];
  main.replaceChildren(h("h1", {}, view.title), ...nodes.flat(Infinity).filter(Boolean),
    ...gone.map((name) => refusal(`Market ${name} is not served; choose another one.`)));
  if (focused && byId(focused)) byId(focused).focus();
  else if (inside) main.focus();
}

/** Markets that the address names and that do not answer. */
const missing = (values, found) => ["market", "left", "right"].map((name) => values.get(name))
  .filter((name) => name !== null && !found.markets.some(({ market }) => market === name));

byId("skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", show);
show();
