/** Elements made by calls only: no text is ever read as HTML, no style or handler as text. */

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (PROPERTIES.has(name)) {
      element[name] = value;
    } else if (name.startsWith("--")) {
      element.style.setProperty(name, value);
    } else {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; `on` holds listeners, names with `--` are variables of the style sheet. */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** An id as the data have it, apart from the text around it. */
export const id = (text) => h("bdi", { class: "id" }, text);

/** An item: its title where it has one, and its id. */
export const named = (item) => (item.title
  ? [h("bdi", { class: "title" }, item.title), " ", id(item.id)] : id(item.id));

/** A box that scrolls what is wider than the screen, by keyboard too. */
export const scroll = (name, ...children) =>
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, children);

/** A table of rows whose first cell names them; `heads` that start with `#` are of numbers. */
export function table(caption, heads, rows) {
  const top = heads.map((head) =>
    h("th", { scope: "col", class: head.startsWith("#") ? "number" : null }, head.replace(/^#/, "")));
  return scroll(caption, h("table", {},
    h("caption", {}, h("span", {}, caption)),
    h("thead", {}, h("tr", {}, top)),
    h("tbody", {}, rows.map(([name, ...cells]) =>
      h("tr", {}, h("th", { scope: "row" }, name), cells)))));
}

export const cell = (...children) => h("td", {}, children);
export const number = (text, attributes = {}) => h("td", { class: "number", ...attributes }, text);

const whole = new Intl.NumberFormat("en");
export const count = (value) => whole.format(value);
export const percent = (value) => `${Math.round(100 * value)} %`;
export const short = (version) => version.slice(0, 12);

/** A number with three digits that count, and a true minus. */
export function digits(value) {
  const text = Number.isInteger(value) ? count(value) : value.toPrecision(3);
  return text.includes("e") ? value.toExponential(1).replace("-", "−") : text.replace("-", "−");
}

export const signed = (text) => (text.startsWith("−") ? text : `+${text}`);

/** Writes numbers that stand together with the same decimals, three digits of the largest. */
export function aligned(values) {
  const top = Math.max(...values.map(Math.abs), 0);
  if (values.every(Number.isInteger)) return count;
  const places = Math.min(Math.max(2 - Math.floor(Math.log10(top)), 0), 8);
  return (value) => value.toFixed(places).replace("-", "−");
}

/** Some things, counted in words. */
export const some = (value, one, more) => `${count(value)} ${value === 1 ? one : more}`;

/** A sentence of words and ids. */
export const said = (...parts) => h("p", {}, parts);
