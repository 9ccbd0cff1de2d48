// Shows one row at a time. Texts of the pool are set by textContent: they are never parsed as markup.
"use strict";

const token = new URLSearchParams(location.search).get("token") ?? "";
const $ = (id) => document.getElementById(id);
const wanted = $("wanted");
let list = { rows: [], why: [] }; // the rows that are wanted, by index, and why each is doubtful
let at = -1; // the place in this list
let row = null;
let editing = false;
let clashes = false; // somebody else edited the row meanwhile: both texts are shown
let busy = false;

async function ask(path, body) {
  const options = { headers: { "X-Token": token } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; was it stopped?");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof said.detail === "string" ? said.detail : `error ${answer.status}`);
  return said;
}

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function textElement(name, text, className) {
  const made = element(name, text, `text ${className ?? ""}`.trim());
  made.dir = "auto";
  return made;
}

// "a ‹b c› d" with the pieces between the marks underlined.
function marked(text) {
  const parts = document.createDocumentFragment();
  for (const [place, piece] of text.split(/[‹›]/).entries()) parts.append(place % 2 ? element("mark", piece) : piece);
  return parts;
}

// --- drawing --------------------------------------------------------------------------------------------------------

function draw() {
  $("row").hidden = false;
  const isPart = list.rows.length < row.total || wanted.order.value === "doubt";
  $("where").textContent =
    `row ${row.index + 1} of ${row.total}` + (isPart && at >= 0 ? `, ${at + 1} of ${list.rows.length} that are wanted` : "");
  $("progress").max = row.total;
  $("progress").value = row.labelled;
  $("labelled").textContent = `${row.labelled} of ${row.total} labelled`;
  const states = [];
  if (row.label) states.push(`labelled: ${row.label}`);
  if (row.removed !== null) states.push(`removed: ${row.removed}`);
  if (Object.keys(row.was).length) states.push("edited");
  if (row.marked) states.push("marked");
  $("state").textContent = states.join("; ");
  $("why").textContent = at >= 0 ? (list.why[at] ?? "") : "";
  for (const name of ["instruction", "input", "output"]) $(name).textContent = row[name];
  $("s-was").hidden = !Object.keys(row.was).length;
  $("was").replaceChildren(
    ...Object.entries(row.was).flatMap(([name, text]) => [element("dt", name), textElement("dd", text || "(none)")]),
  );
  $("s-turns").hidden = !row.turns.length && !row.ended;
  const turns = row.turns.flatMap((turn) => [["user", turn.user], ["assistant", turn.assistant]]);
  $("turns").replaceChildren(...turns.map(([who, text]) => textElement("li", text, who)));
  $("ended").textContent = row.ended && `Why it ended: ${row.ended}`;
  drawOthers();
  drawVerdict();
  drawNearest();
  $("shown").replaceChildren(...row.shown.map((task) => element("li", `${task.instruction} (${task.origin} ${task.id})`)));
  $("about").textContent =
    `${row.task_id}/${row.instance}, row ${row.instance + 1} of ${row.instances} of its task, round ${row.round}` +
    (row.source ? `, by ${row.source}` : "") + (row.is_classification ? ", a classification" : "");
  $("mark").setAttribute("aria-pressed", String(row.marked));
  drawEditing();
}

function drawOthers() {
  $("s-others").hidden = !row.others.length;
  const current = row.others.find((one) => one.is_better === null);
  $("others").replaceChildren(
    ...row.others.map((one) => {
      const item = element("li", "");
      const buttons = element("div", "", "buttons");
      for (const [isBetter, key, words] of [[true, "a", "this one is better"], [false, "o", "the output is better"]]) {
        const button = element("button", "");
        button.type = "button";
        if (one === current) button.append(element("kbd", key), " ");
        button.append(words);
        button.setAttribute("aria-pressed", String(one.is_better === isBetter));
        button.addEventListener("click", () => void run(() => rank(one, isBetter)));
        buttons.append(button);
      }
      item.append(textElement("div", one.output), buttons);
      return item;
    }),
  );
}

function drawNearest() {
  const near = row.nearest;
  if (near === null) {
    $("nearest").textContent = "not known for this task";
    return;
  }
  $("nearest").replaceChildren(`ROUGE-L ${near.score.toFixed(4)}: `, marked(near.marked), ` (${near.origin} ${near.id})`);
}

function drawVerdict() {
  const verdict = row.verdict;
  $("s-verdict").hidden = verdict === null;
  $("verdict").replaceChildren();
  if (verdict === null) return;
  const questions = { valid: "a valid task", input: "a suitable input", output: "a correct output" };
  $("verdict").append(element("dt", "outcome"), element("dd", verdict.outcome));
  for (const [name, words] of Object.entries(questions)) {
    const score = verdict[`${name}_score`];
    $("verdict").append(
      element("dt", `${words}: ${score === null ? "not said" : `${score} of 5`}`),
      element("dd", verdict[`${name}_reason`]),
    );
  }
}

function drawEditing() {
  for (const name of ["input", "output"]) {
    $(name).hidden = editing && !clashes;
    $(`new-${name}`).hidden = !editing;
  }
  $("s-input").hidden = row.input === "" && !editing;
  $("editing").hidden = !editing;
  $("lost").hidden = !row.turns.length;
}

// --- moving ---------------------------------------------------------------------------------------------------------

// The place stays in the address, so that a reload comes back to it.
function remember() {
  const place = new URLSearchParams([...new FormData(wanted)].filter(([, value]) => value));
  place.set("row", row.index + 1);
  history.replaceState(null, "", `#${place}`);
}

async function show(index) {
  row = await ask(`/api/rows/${index}`);
  at = list.rows[at] === index ? at : list.rows.indexOf(index);
  draw();
  remember();
}

async function go(index) {
  await show(index);
  scrollTo(0, 0);
}

// The rows that are wanted, from this one on, or from the first where it is not among them.
async function load(index) {
  list = await ask(`/api/list?${new URLSearchParams([...new FormData(wanted)].filter(([, value]) => value))}`);
  at = Math.max(0, list.rows.indexOf(index));
  if (list.rows.length) return go(list.rows[at]);
  row = null;
  $("row").hidden = true;
  $("where").textContent = "";
  $("error").textContent = "no row is as you want it";
}

async function move(step) {
  const next = list.rows[at < 0 ? 0 : at + step];
  if (next === undefined) $("error").textContent = step > 0 ? "this is the last one" : "this is the first one";
  else {
    at = at < 0 ? 0 : at + step;
    await go(next);
  }
}

// --- doing ----------------------------------------------------------------------------------------------------------

const about = () => ({ task_id: row.task_id, instance: row.instance });

async function decide(decision, question) {
  await ask("/api/decisions", { ...about(), decision, question: question ?? null, reason: $("reason").value });
  $("reason").value = "";
  await show(row.index);
  await move(1);
}

async function mark() {
  await ask("/api/decisions", { ...about(), decision: row.marked ? "unmark" : "mark" });
  await show(row.index);
}

async function rank(one, isBetter) {
  if (one === undefined) throw new Error("there is no other answer to compare");
  await ask("/api/rankings", { ...about(), sample: one.number, is_better: isBetter });
  await show(row.index);
}

const unranked = () => row.others.find((one) => one.is_better === null);

async function undo() {
  const { index } = await ask("/api/undo", {});
  if (index === null) $("error").textContent = "there is nothing to undo";
  else await go(index);
}

function edit() {
  if (row.removed !== null) throw new Error("it is removed; keep it, then edit it");
  editing = true;
  if ($("more").getAttribute("aria-expanded") === "true") more(); // on a phone it would cover the text
  for (const name of ["input", "output"]) $(`new-${name}`).value = row[name];
  drawEditing();
  $("new-output").focus();
}

async function save() {
  const texts = {};
  for (const name of ["input", "output"]) {
    const given = $(`new-${name}`).value;
    // the browser changes line ends, which is no edit
    if (given !== row[name].replace(/\r\n?/g, "\n")) texts[name] = given;
  }
  const seen = { input: row.input, output: row.output };
  if (Object.keys(texts).length) {
    try {
      await ask("/api/edits", { ...about(), ...texts, seen, reason: $("reason").value });
    } catch (error) {
      await showClash(texts, seen);
      throw error;
    }
  }
  $("reason").value = "";
  cancel();
  await show(row.index);
}

// What somebody else wrote is shown above what is written here; a text that was not touched here becomes theirs.
async function showClash(texts, seen) {
  row = await ask(`/api/rows/${row.index}`);
  clashes = Object.entries(seen).some(([name, text]) => row[name] !== text);
  draw();
  for (const name of Object.keys(seen)) if (!(name in texts)) $(`new-${name}`).value = row[name];
}

function cancel() {
  editing = clashes = false;
  drawEditing();
  document.activeElement.blur();
}

function toggle(button, hides) {
  const opens = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(opens));
  hides(opens);
}

const keys = () => toggle($("keys"), (opens) => { $("help").hidden = !opens; });
const more = () => toggle($("more"), (opens) => {
  for (const part of [document.querySelector("footer"), wanted]) part.classList.toggle("open", opens);
});

const actions = {
  k: ["keep", "keep; a removed row comes back", () => decide("keep")],
  r: ["remove", "remove this row", () => decide("remove")],
  1: ["remove-task", "no valid task: remove all rows of the task", () => decide("remove_task", "valid")],
  2: ["remove-input", "remove: unsuitable input", () => decide("remove", "input")],
  3: ["remove-output", "remove: wrong output", () => decide("remove", "output")],
  e: ["edit", "edit input and output", edit],
  a: [null, "the other answer is better", () => rank(unranked(), true)],
  o: [null, "the output is better", () => rank(unranked(), false)],
  m: ["mark", "mark, or remove the mark", mark],
  u: ["undo", "undo what was done last", undo],
  n: ["next", "next row, also →", () => move(1)],
  p: ["previous", "previous row, also ←", () => move(-1)],
  "/": [null, "search for a text", () => wanted.text.focus()],
  "?": [null, "show or hide the keys", keys],
};

// One request at a time: keys pressed during a request do nothing.
async function run(action) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  $("error").textContent = "";
  try {
    if (editing && action !== save && action !== cancel) throw new Error("save or cancel the edit first");
    await action();
  } catch (error) {
    $("error").textContent = error.message;
    $("error").scrollIntoView({ block: "nearest" });
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

const needsNoRow = [keys, actions["/"][2], undo];

document.addEventListener("keydown", (event) => {
  if (editing && event.key === "Escape") return void run(cancel);
  if (editing && event.key === "Enter" && (event.ctrlKey || event.metaKey)) return void run(save);
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const named = actions[event.key] ?? { ArrowLeft: actions.p, ArrowRight: actions.n }[event.key];
  if (!named) return;
  event.preventDefault();
  if (row !== null || needsNoRow.includes(named[2])) void run(named[2]);
});
for (const [key, [id, words, action]] of Object.entries(actions)) {
  if (id) $(id).addEventListener("click", () => (row !== null || action === undo) && void run(action));
  $("help").append(element("dt", key), element("dd", words));
}
$("save").addEventListener("click", () => void run(save));
$("cancel").addEventListener("click", () => void run(cancel));
$("keys").addEventListener("click", keys);
$("more").addEventListener("click", more);
wanted.addEventListener("submit", (event) => event.preventDefault());
wanted.addEventListener("change", async (event) => {
  event.target.blur(); // so that the keys work again
  while (busy) await new Promise((done) => setTimeout(done, 20)); // what is wanted is not dropped
  void run(() => load(-1));
});

void run(async () => {
  const { reader, sources, agreement } = await ask("/api/about");
  $("agreement").textContent = agreement
    .map(({ other, labels, kappa }) =>
      `kappa with ${other || "somebody unnamed"}: ${kappa === null ? "not defined" : kappa.toFixed(2)} (${labels} rows)`)
    .join("; ");
  $("reader").textContent = reader && `as ${reader}`;
  $("l-source").hidden = sources.length < 2;
  wanted.source.append(...sources.map((name) => new Option(name, name)));
  const place = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of place) if (wanted.elements.namedItem(name)) wanted.elements.namedItem(name).value = value;
  await load(Number(place.get("row") ?? 0) - 1);
});
