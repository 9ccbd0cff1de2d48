"use strict";
// Elements are made one by one and texts are set as texts: no text of a pool is ever parsed as markup.

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const known = (value) => value !== null && value !== undefined;
const number = (value) => (known(value) ? whole.format(value) : "not known");
const decimal = (value, digits = 2) => (known(value) ? value.toFixed(digits) : "not known");
const share = (part, all, digits = 0) => (all ? `${((100 * part) / all).toFixed(digits)}%` : "none");
const dollars = (value) => `$${value >= 1 || value === 0 ? value.toFixed(2) : value.toPrecision(2)}`;
const plural = (count, word, words = `${word}s`) => `${number(count)} ${count === 1 ? word : words}`;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** A small table; cells that are numbers or [text, true] are aligned to the right. */
function smallTable(columns, rows, caption) {
  const cell = (tag, value, isNumber) => el(tag, { class: isNumber ? "number" : null, scope: tag === "th" ? "col" : null }, value);
  const right = columns.map((_, place) => place > 0 && rows.length > 0 && rows.every((row) => typeof row[place] === "number" || /^([$\d,.%−+-]+|none|none yet|not known|)$/.test(row[place])));
  return el("table", {},
    caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, columns.map((name, place) => (name ? cell("th", name, right[place]) : el("td", {}))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, place) =>
      cell("td", value instanceof Node ? value : typeof value === "number" ? number(value) : String(value), right[place]))))));
}

/** The value of an element with gzipped JSON in base64. */
async function unpacked(id) {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
