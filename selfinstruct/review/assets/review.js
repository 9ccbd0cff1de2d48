// Shows one row at a time. Texts of the pool are set by textContent: they are never parsed as markup.
"use strict";

const token = new URLSearchParams(location.search).get("token") ?? "";
const $ = (id) => document.getElementById(id);
let row = null;
let decided = [];
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

// "a ‹b c› d" with the pieces between the marks underlined.
function marked(text) {
  const parts = document.createDocumentFragment();
  for (const [place, piece] of text.split(/[‹›]/).entries()) parts.append(place % 2 ? element("mark", piece) : piece);
  return parts;
}

function draw() {
  $("where").textContent =
    `row ${row.index + 1} of ${row.total}, ${row.labelled} with a label; instance ${row.instance + 1} of ` +
    `${row.instances} of its task`;
  const states = [];
  if (row.label) states.push(row.label === "keep" ? "labelled: keep" : "labelled: remove");
  if (row.removed !== null) states.push(`removed: ${row.removed}`);
  if (row.marked) states.push("marked");
  $("state").textContent = states.join("; ");
  for (const name of ["instruction", "input", "output"]) $(name).textContent = row[name];
  $("s-input").hidden = row.input === "";
  $("s-turns").hidden = !row.turns.length;
  $("turns").replaceChildren(...row.turns.flatMap((turn) => [said("user", turn.user), said("assistant", turn.assistant)]));
  drawNearest();
  $("shown").replaceChildren(...row.shown.map((task) => element("li", `${task.instruction} (${task.origin} ${task.id})`)));
  drawVerdict();
  $("about").textContent =
    `${row.task_id}, round ${row.round}${row.is_classification ? ", a classification" : ""}` +
    (row.instances > 1 ? `; removing it removes all ${row.instances} instances of the task` : "");
  $("mark").setAttribute("aria-pressed", String(row.marked));
}

function said(who, text) {
  const item = element("li", text, `text ${who}`);
  item.dir = "auto";
  return item;
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

async function go(index) {
  row = await ask(`/api/rows/${index}`);
  draw();
  scrollTo(0, 0);
}

async function move(step, show) {
  const from = row === null ? 0 : row.index + step;
  const found = await ask(`/api/find?start=${from}&forward=${step > 0}&show=${show ?? $("show").value}`);
  if (found.index === null) {
    $("error").textContent = step > 0 ? "this is the last one" : "this is the first one";
    return;
  }
  await go(found.index);
}

async function decide(decision, question) {
  const { index, task_id, instance } = row;
  const said = { task_id, instance, decision, question: question ?? null, reason: $("reason").value };
  const done = await ask("/api/decisions", said);
  decided.push(index);
  await go(index);
  await move(1);
  if (done.stays_out) $("error").textContent = "noted; the task stays removed, since another row of it is to go";
}

async function mark() {
  await ask("/api/decisions", { task_id: row.task_id, instance: row.instance, decision: row.marked ? "unmark" : "mark" });
  await go(row.index);
}

async function back() {
  const index = decided.pop();
  if (index === undefined) $("error").textContent = "nothing was decided yet";
  else await go(index);
}

const actions = {
  k: ["keep", () => decide("keep")],
  r: ["remove", () => decide("remove")],
  1: ["remove-valid", () => decide("remove", "valid")],
  2: ["remove-input", () => decide("remove", "input")],
  3: ["remove-output", () => decide("remove", "output")],
  m: ["mark", mark],
  p: ["previous", () => move(-1)],
  n: ["next", () => move(1)],
  b: ["back", back],
};

// One request at a time: keys pressed during a request do nothing.
async function run(action) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  $("error").textContent = "";
  try {
    await action();
  } catch (error) {
    $("error").textContent = error.message;
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const named = actions[event.key] ?? { ArrowLeft: actions.p, ArrowRight: actions.n }[event.key];
  if (!named) return;
  event.preventDefault();
  if (row !== null || event.key === "n") void run(named[1]);
});
for (const [id, action] of Object.values(actions)) $(id).addEventListener("click", () => row !== null && void run(action));
$("show").addEventListener("change", () => {
  row = null;
  void run(() => move(1));
});
void run(() => move(1));
