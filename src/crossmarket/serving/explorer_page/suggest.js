/** A field that suggests the items of a market while one types (a combobox with a list). */

import { suggestions } from "./api.js";
import { h, named } from "./dom.js";
import { current, typed } from "./ids.js";

const WAIT = 120;

/**
 * @param field an input or a textarea with an id of its own
 * @param market gives the name of the market whose items are suggested
 * @param several whether the field takes several ids
 */
export function suggesting(field, market, several) {
  const box = h("ul", { id: `${field.id}-suggestions`, role: "listbox", class: "suggestions",
    "aria-label": "Items of the market", hidden: true });
  let options = [], chosen = -1, timer = 0, asked = null;

  const close = () => {
    clearTimeout(timer);
    asked?.abort();
    box.hidden = true;
    chosen = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };

  const piece = () => (several ? current(field.value, field.selectionStart)
    : { start: 0, prefix: field.value });

  const accept = (own) => {
    const { start } = piece();
    const end = several ? field.selectionStart : field.value.length;
    const text = several ? `${typed(own)}\n` : own;
    field.setRangeText(text, start, end, "end");
    close();
    field.focus();
  };

  const choose = (place) => {
    chosen = (place + options.length) % options.length;
    [...box.children].forEach((option, own) =>
      option.setAttribute("aria-selected", own === chosen));
    field.setAttribute("aria-activedescendant", box.children[chosen].id);
    box.children[chosen].scrollIntoView({ block: "nearest" });
  };

  const open = (found) => {
    options = found;
    chosen = -1;
    box.replaceChildren(...found.map((own, place) => h("li", {
      id: `${box.id}-${place}`, role: "option", "aria-selected": "false",
      // Before the field loses the focus.
      on: { mousedown: (event) => { event.preventDefault(); accept(own.id); } },
    }, named(own))));
    box.hidden = found.length === 0;
    field.setAttribute("aria-expanded", String(found.length > 0));
  };

  const look = async () => {
    asked?.abort();
    asked = new AbortController();
    const { prefix } = piece();
    if (several && prefix === "") return close();
    try {
      const found = await suggestions(market(), prefix, asked.signal);
      if (found.length === 1 && found[0].id === prefix) return close();
      if (document.activeElement === field) open(found);
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  };

  field.setAttribute("role", "combobox");
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-controls", box.id);
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, WAIT); });
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (box.hidden) {
      if (event.key === "ArrowDown" && !several) look();
      return;
    }
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) choose(chosen < 0 && event.key === "ArrowUp" ? -1 : chosen + steps[event.key]);
    else if (event.key === "Enter" && chosen >= 0) accept(options[chosen].id);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  return h("div", { class: "suggesting" }, field, box);
}
