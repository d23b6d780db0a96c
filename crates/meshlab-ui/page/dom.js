// Small helpers. Text is only ever set as text: what a node sent may hold anything.

/** An element: `el("td", { class: "n" }, "text", child)`. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  return fill(element, attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same, of a drawing. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A moment of the run, microseconds, as reports write it: `01:30.250`. */
export function moment(micros, fine = true) {
  const ms = Math.max(0, Math.floor(micros / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(ms / 3600000);
  const text = `${two(Math.floor(ms / 60000) % 60)}:${two(Math.floor(ms / 1000) % 60)}`;
  const tail = fine ? `.${String(ms % 1000).padStart(3, "0")}` : "";
  return (hours ? `${hours}:` : "") + text + tail;
}

/** A length of time, microseconds. */
export function took(micros) {
  if (micros === null || micros === undefined) return "–";
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 1e6) return `${(micros / 1000).toFixed(micros < 1e4 ? 1 : 0)} ms`;
  if (micros < 120e6) return `${(micros / 1e6).toFixed(micros < 1e7 ? 2 : 1)} s`;
  if (micros < 7200e6) return `${(micros / 60e6).toFixed(1)} min`;
  return `${(micros / 3600e6).toFixed(1)} h`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let place = 0;
  while (value >= 1024 && place < 3) { value /= 1024; place += 1; }
  return `${value.toFixed(place ? 1 : 0)} ${units[place]}`;
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(1)} %`;
}

/** As people count: node-2 before node-10. */
export const natural = new Intl.Collator("en", { numeric: true }).compare;

/** The sign of a verdict: never colour alone. */
export const SIGNS = {
  passed: "✓", failed: "✗", broken: "!", skipped: "–", inconclusive: "?", open: "○",
};

export function word(verdict) {
  const is = verdict ? verdict.is : "open";
  return el("span", { class: `v ${is}` }, `${SIGNS[is] ?? "?"} ${is}`);
}

/** Calls `work` once before the next picture, however often it is asked for. */
export function soon(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
}

/** A colour of the page, for what is painted. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Asks the server. Errors are sentences. */
export async function ask(path, question = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(question)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined) query.append(name, one);
  }
  let answer;
  try {
    answer = await fetch(`${path}?${query}`);
  } catch {
    throw new Error("meshlab does not answer any more: it has ended, or the connection is cut");
  }
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}
