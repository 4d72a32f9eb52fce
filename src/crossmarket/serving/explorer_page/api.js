/** Questions to the service that this page came from; nothing else is ever asked. */

const STORED = "crossmarket-read-key";
let key = sessionStorage.getItem(STORED);

/** Why there is no answer, in a sentence. */
export class Refusal extends Error {
  constructor(sentence, code) {
    super(sentence);
    this.code = code;
  }
}

/** Use a key from now on; where asked to, until the tab is closed. */
export function useKey(text, keep) {
  key = text;
  if (keep) sessionStorage.setItem(STORED, text);
  else sessionStorage.removeItem(STORED);
}

export function forgetKey() {
  key = null;
  sessionStorage.removeItem(STORED);
}

export const hasKey = () => key !== null;

async function problem(answer) {
  try {
    const found = await answer.json();
    return new Refusal(found.detail, found.code);
  } catch {
    return new Refusal(`The service answered ${answer.status} without a word.`, "");
  }
}

/** Ask for JSON; with a body, send it. */
export async function ask(path, { body = null, signal = null } = {}) {
  const headers = {};
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  if (body !== null) headers["Content-Type"] = "application/json";
  const request = { headers, signal, credentials: "omit", cache: "no-store" };
  if (body !== null) Object.assign(request, { method: "POST", body: JSON.stringify(body) });
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service cannot be reached; is it still running?", "unreachable");
  }
  if (!answer.ok) throw await problem(answer);
  return answer.json();
}

const part = encodeURIComponent;

export const overview = (signal) => ask("v1/overview", { signal });

export const list = (market, body, signal) =>
  ask(`v1/markets/${part(market)}/recommendations`, { body, signal });

export const similar = (market, item, k, signal) =>
  ask(`v1/markets/${part(market)}/items/${part(item)}/similar?k=${part(k)}`, { signal });

export const suggestions = async (market, prefix, signal) =>
  (await ask(`v1/markets/${part(market)}/items?limit=12&prefix=${part(prefix)}`, { signal })).items;
