"use strict";

/** What a row is sorted by in a column: a number, a name, or null where there is nothing. */
function sortKey(row, column) {
  const cell = row.cells[column];
  if (!cell || cell.colSpan > 1) return null;
  if ("value" in cell.dataset) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return text === "" || text === "–" ? null : text;
}

/** Order two keys; what has none comes last, whichever way. */
function compareKeys(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null);
  return sign * (typeof one === "number" ? one - other : one.localeCompare(other));
}

function sortBy(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const rows = [...table.tBodies[0].rows];
  const keys = new Map(rows.map((row) => [row, sortKey(row, column)]));
  const before = head.getAttribute("aria-sort");
  // Names and ranks start with the smallest, qualities with the largest.
  const first = head.classList.contains("number") && !/rank|parameters|CPU/.test(head.textContent);
  const next = before === "none" ? (first ? "descending" : "ascending")
    : before === "descending" ? "ascending" : "descending";
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", next);
  const sign = next === "ascending" ? 1 : -1;
  rows.sort((a, b) => compareKeys(keys.get(a), keys.get(b), sign) || a.dataset.place - b.dataset.place);
  table.tBodies[0].append(...rows);
}

const all = (selector) => [...document.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const tabs = all("[role=tab]");

function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    one(other.getAttribute("aria-controls")).classList.toggle("off", !chosen);
  }
  count();
}

/** Show the chosen metric; a block that lacks it shows its first one. */
function showMetric() {
  for (const part of all("section")) {
    const shown = [...part.querySelectorAll("[data-metric]")];
    const names = shown.map((own) => own.dataset.metric);
    const chosen = one("metric").value;
    const metric = names.includes(chosen) || !part.classList.contains("block") ? chosen : names[0];
    for (const own of shown) own.classList.toggle("off", own.dataset.metric !== metric);
  }
  count();
}

function filter() {
  const family = one("family").value;
  const text = one("text").value.trim().toLowerCase();
  for (const row of all("tbody tr")) {
    const fits = (!family || row.dataset.family === family)
      && row.cells[0].textContent.toLowerCase().includes(text)
      && !(one("measured").checked && row.classList.contains("missing"));
    row.classList.toggle("off", !fits);
  }
  count();
}

function count() {
  const part = document.querySelector(".block:not(.off) .scroll:not(.off)");
  const rows = [...part.querySelectorAll("tbody tr")];
  const shown = rows.filter((row) => !row.classList.contains("off")).length;
  const metric = part.dataset.metric;
  const instead = metric === one("metric").value ? "" : `; measured by ${metric} instead`;
  one("count").textContent = `${shown} of ${rows.length} systems${instead}`;
}

function tell(cell) {
  const tip = one("tip");
  tip.hidden = !cell;
  if (!cell) return;
  const heads = cell.closest("table").tHead.rows[0].cells;
  const name = cell.parentNode.cells[0].textContent;
  tip.textContent = `${name}, ${heads[cell.cellIndex].textContent}: ${cell.dataset.tip}`;
}

/** One stop of the tab key in each table; arrows move from cell to cell. */
function moveFrom(cell, key) {
  const row = cell.parentNode;
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!(key in steps)) return false;
  const [down, right] = steps[key];
  const rows = [...row.parentNode.rows].filter((other) => !other.classList.contains("off"));
  const next = rows[rows.indexOf(row) + down]?.cells[cell.cellIndex + right];
  if (next && "tip" in next.dataset) {
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  return true;
}

for (const cell of all("td[title]")) {  // the page's own tip replaces the browser's
  cell.dataset.tip = cell.title;
  cell.removeAttribute("title");
  cell.tabIndex = -1;
}
for (const table of all("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    head.querySelector("button").addEventListener("click", () => sortBy(head));
  }
  const first = table.querySelector("td[data-tip]");
  if (first) first.tabIndex = 0;
  const under = (event) => event.target.closest("td[data-tip]");
  table.addEventListener("mouseover", (event) => tell(under(event)));
  table.addEventListener("mouseleave", () => tell(null));
  table.addEventListener("focusin", (event) => tell(under(event)));
  table.addEventListener("focusout", () => tell(null));
  table.addEventListener("click", (event) => tell(under(event)));
  table.addEventListener("keydown", (event) => {
    const cell = under(event);
    if (event.key === "Escape") tell(null);
    else if (cell && moveFrom(cell, event.key)) event.preventDefault();
  });
}
for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    select(next);
  });
}
for (const block of all(".block")) block.setAttribute("role", "tabpanel");
one("metric").addEventListener("change", showMetric);
for (const name of ["family", "text", "measured"]) one(name).addEventListener("input", filter);
document.querySelector(".controls").hidden = false;
select(tabs[0]);
showMetric();
filter();
