/** Ids as people type them: separated by commas or lines, in quotes where they hold either. */

/** The ids of a text, each once, in its order. */
export function parse(text) {
  const found = [];
  for (const match of text.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,\n]*))\s*(?:,|\n|$)/g)) {
    const own = match[1] === undefined ? match[2].trim() : match[1].replaceAll('""', '"');
    if (own !== "" && !found.includes(own)) found.push(own);
  }
  return found;
}

/** An id as it must be typed. */
export const typed = (own) =>
  /[",\n]|^\s|\s$/.test(own) ? `"${own.replaceAll('"', '""')}"` : own;

/** A text of which `parse` makes these ids. */
export const format = (ids) => ids.map(typed).join("\n");

/** The piece of a text that is being typed at a position: where it starts, and its id so far. */
export function current(text, position) {
  let start = 0, quoted = false;
  for (let place = 0; place < position; place += 1) {
    if (text[place] === '"') quoted = !quoted;
    else if (!quoted && /[,\n]/.test(text[place])) start = place + 1;
  }
  const piece = text.slice(start, position);
  const begin = start + piece.length - piece.trimStart().length;
  return { start: begin, prefix: piece.trimStart().replace(/^"/, "").replaceAll('""', '"') };
}
