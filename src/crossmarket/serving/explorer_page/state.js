/** What is shown, as the fragment of the address: it can be sent to a colleague, and no server
 * sees it. */

/** View and parameters of the address. */
export function read() {
  const [view, query = ""] = location.hash.slice(1).split("?", 2);
  return { view, values: new URLSearchParams(query) };
}

/** The fragment of a view; parameters that are null, or hold nothing, are left out. */
export function fragment(view, values = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "" && one !== false) query.append(name, one);
    }
  }
  const text = query.toString();
  return `#${view}${text && `?${text}`}`;
}

/** Show a view; the same one again is asked for again. */
export function go(view, values) {
  const wanted = fragment(view, values);
  if (wanted === location.hash) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = wanted;
}
