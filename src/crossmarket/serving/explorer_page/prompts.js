/** View: the prompts of the markets as maps. */

import { h, percent, s } from "./dom.js";

export const title = "Prompts";

const SIZE = 360, SMALL = 170;

export function show({ overview }) {
  const { banks, prompts } = overview;
  if (prompts === null) {
    return [h("p", { class: "missing" }, "No market has prompts: this system adapts to markets in "
      + "another way.")];
  }
  return [
    h("p", { class: "lead" }, "Prompts are what a market changes of the shared backbone. These maps show "
      + "them by the two directions in which they differ most."),
    banks === null ? null : [
      h("h2", {}, "Markets by their prompts"),
      h("p", {}, "A dot is all prompts of a market together. Markets that lie close bend the backbone in a "
        + "similar way. ", share(banks.explained)),
      bankMap(banks.points),
    ],
    h("h2", {}, "Every prompt"),
    h("p", {}, "A dot is one prompt; pale dots are those of the other markets. Where users and items have "
      + "prompts of their own, a market has two clouds. ", share(prompts.explained)),
    h("div", { class: "panels" }, Object.keys(prompts.points).map((name) => panel(name, prompts.points))),
  ];
}

const share = (explained) => (explained.includes(null) ? "The prompts do not differ."
  : `The cross is the mean of all. The map shows ${percent(explained[0] + explained[1])} of their variance: `
    + `${percent(explained[0])} along, ${percent(explained[1])} upwards.`);

/** From a point to its place in a square of a size, to scale, with 0 in the middle. */
function scale(points, size, room) {
  const reach = Math.max(...points.flat().map(Math.abs)) || 1;
  const half = size / 2;
  return ([x, y]) => [half + ((half - room) * x) / reach, half - ((half - room) * y) / reach];
}

const cross = (size) => [
  s("line", { class: "grid", x1: 0, x2: size, y1: size / 2, y2: size / 2 }),
  s("line", { class: "grid", x1: size / 2, x2: size / 2, y1: 0, y2: size }),
];

/** Dots as one path: hundreds of them weigh nothing. */
const dots = (kind, points, at) => s("path", { class: `dots ${kind}`,
  d: points.map((point) => `M${at(point).map((value) => value.toFixed(1)).join(" ")}h0`).join("") });

function bankMap(points) {
  const names = Object.keys(points);
  const at = scale(Object.values(points).flat(), SIZE, 34);
  const placed = names.map((name) => [name, ...at(points[name][0])]).sort((a, b) => a[2] - b[2]);
  const taken = [];
  const marks = placed.map(([name, x, y]) => {
    let line = y + 4;
    while (taken.some(([left, own]) => Math.abs(left - x) < 48 && Math.abs(own - line) < 15)) line += 1;
    taken.push([x, line]);
    const onLeft = x > SIZE - 60;
    return s("g", {}, s("circle", { class: "mark", cx: x, cy: y, r: 6 }), s("text",
      { x: x + (onLeft ? -10 : 10), y: line, "text-anchor": onLeft ? "end" : "start" }, name));
  });
  return h("figure", { class: "banks" }, s("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img",
    "aria-label": `Map of the markets ${names.join(", ")}` }, cross(SIZE), marks));
}

function panel(name, points) {
  const others = Object.entries(points).filter(([own]) => own !== name).flatMap(([, own]) => own);
  const at = scale(Object.values(points).flat(), SMALL, 6);
  return h("figure", {}, h("figcaption", {}, name), s("svg", { viewBox: `0 0 ${SMALL} ${SMALL}`,
    role: "img", "aria-label": `Prompts of ${name} among all prompts` },
  cross(SMALL), dots("pale", others, at), dots("own", points[name], at)));
}
