// Builds the page: the figures at once, the rows of the tables when they are unpacked.

const pools = JSON.parse(document.getElementById("figures").textContent);

const TASK = ["position", "id", "state", "instruction", "classification", "round", "nearest", "nearestTask", "nearestSeed", "verb", "noun", "words", "instances", "generation"];
const REJECTION = ["request", "place", "kind", "reason", "round", "score", "nearestTask", "task", "text", "evidence", "input"];
const named = (keys) => (row) => Object.fromEntries(keys.map((key, place) => [key, row[place]]));
const STATES = { seed: "seed", done: "finished", pending: "on its way", without_instances: "without instances", removed: "removed" };

const dialog = document.getElementById("detail");
const data = [];
let tables = [];

function show(title, nodes) {
  const close = el("button", { type: "button", class: "plain", click: () => dialog.close() }, "Close");
  dialog.replaceChildren(el("div", { class: "bar-top" }, el("h2", { id: "detail-title" }, title), close), ...nodes.filter(known));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

const facts = (entries) => el("dl", {}, entries.filter(([, value]) => known(value) && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]));
const block = (name, text) => [el("h4", {}, name), el("pre", { tabindex: "0" }, text)];
const command = (side, what) => el("p", { class: "dim" }, "All there is to know: ", el("code", {}, `python -m selfinstruct explain ${pools[side].status.pool.replace(/\/versions\/\d+$/, "")} ${what}`));

function taskLink(side, position, note) {
  const task = data[side].byPosition.get(position);
  const text = task ? task.instruction : `task ${position}`;
  return el("li", {}, note ? `${note} ` : null, task ? el("button", { type: "button", class: "link", click: () => openTask(side, task) }, text) : text);
}

function openTask(side, task) {
  const { details, rejections } = data[side];
  const detail = details.get(task.position);
  const near = rejections.filter((one) => one.nearestTask === task.position && one.kind === "instruction");
  const lost = rejections.filter((one) => one.task === task.position);
  const link = (one) => el("li", {}, `${one.reason} `, el("button", { type: "button", class: "link", click: () => openRejection(side, one) }, one.text || one.evidence || "(empty)"));
  show(`${task.state === "seed" ? "Seed" : "Task"} ${task.position}`, [
    el("pre", { tabindex: "0" }, task.instruction),
    facts([
      ["state", STATES[task.state] || task.state], ["kind", { 1: "classification", 0: "generation" }[task.classification]], ["round", task.round],
      ["verb and object", [task.verb, task.noun].filter(Boolean).join(" ")], ["words", number(task.words)], ["generation", number(task.generation)],
      ["nearest earlier", known(task.nearest) ? el("ul", {}, taskLink(side, task.nearestTask, task.nearest.toFixed(4))) : null],
      ["nearest seed", known(task.nearestSeed) ? `ROUGE-L ${task.nearestSeed.toFixed(4)}` : null],
    ]),
    ...(detail ? detail[1].flatMap(([input, output, ...turns], place) => [
      ...(input ? block(detail[1].length > 1 ? `Input ${place + 1}` : "Input", input) : []),
      ...block(detail[1].length > 1 ? `Output ${place + 1}` : "Output", output),
      ...turns.flatMap((text, number) => block(number % 2 ? "Assistant" : "User", text))]) : []),
    detail ? null : el("p", { class: "dim" }, "Inputs, outputs and demonstrations are in this file for the 2,000 newest and closest tasks alone."),
    detail && detail[2].length ? el("h4", {}, "Shown in its request") : null,
    detail && detail[2].length ? el("ul", {}, detail[2].map((one) => taskLink(side, one))) : null,
    near.length ? el("h4", {}, `Rejected as too like it (${number(near.length)})`) : null,
    near.length ? el("ul", {}, near.slice(0, 20).map(link)) : null,
    lost.length ? el("h4", {}, `Its rejected instances (${number(lost.length)})`) : null,
    lost.length ? el("ul", {}, lost.slice(0, 20).map(link)) : null,
    command(side, task.id),
  ]);
}

function openRejection(side, one) {
  show(`Rejected ${one.kind}: ${one.reason.replaceAll("_", " ")}`, [
    ...block(one.kind === "instance" ? "Output" : "Text", one.text || "(empty)"),
    ...(one.input ? block("Input", one.input) : []),
    facts([
      ["evidence", one.evidence], ["round", one.round], ["score", known(one.score) ? `ROUGE-L ${one.score.toFixed(4)}` : null],
      ["resembles", known(one.nearestTask) ? el("ul", {}, taskLink(side, one.nearestTask)) : null],
      ["of task", known(one.task) ? el("ul", {}, taskLink(side, one.task)) : null],
    ]),
    command(side, one.request),
  ]);
}

const isGenerated = (row) => known(row.round);
const score = (value) => (known(value) ? value.toFixed(3) : null);

function taskTable(side) {
  const { tasks } = data[side];
  const verbOf = (row) => [row.verb, row.noun].filter(Boolean).join(" ");
  return new RowTable({
    id: `tasks-${side}-table`, label: "Tasks", rows: tasks, text: (row) => row.instruction, onOpen: (row) => openTask(side, row),
    sort: { column: 1, down: true },
    columns: [
      { name: "Instruction", of: (row) => row.instruction },
      { name: "Number", of: (row) => row.position, isNumber: true, style: "w-n wide" },
      { name: "Nearest", of: (row) => row.nearest, show: (row) => score(row.nearest), isNumber: true, style: "w-s" },
      { name: "To seed", of: (row) => row.nearestSeed, show: (row) => score(row.nearestSeed), isNumber: true, style: "w-s wide" },
      { name: "Verb, object", of: verbOf, style: "w-m wide" },
      { name: "Words", of: (row) => row.words, isNumber: true, style: "w-s wide" },
      { name: "Instances", of: (row) => row.instances, isNumber: true, style: "w-n wide" },
      { name: "Round", of: (row) => row.round, isNumber: true, style: "w-s wide" },
    ],
    filters: [
      { name: "State", choices: [["any", null], ["generated", isGenerated], ...Object.entries(STATES).map(([state, name]) => [name, (row) => row.state === state])] },
      { name: "Kind", choices: [["any", null], ["classification", (row) => row.classification === 1], ["generation", (row) => row.classification === 0]] },
      { name: "Nearest ROUGE-L", choices: [["any", null], ...[0.3, 0.5, 0.6, 0.7].map((least) => [`${least} and above`, (row) => row.nearest >= least])] },
    ],
  });
}

function rejectionTable(side) {
  const { rejections } = data[side];
  const reasons = [...new Set(pools[side].reasons.map((one) => one.reason))];
  return new RowTable({
    id: `rejections-${side}-table`, label: "Rejections", rows: rejections, text: (row) => `${row.text}\n${row.evidence}\n${row.input}`,
    onOpen: (row) => openRejection(side, row),
    columns: [
      { name: "Text", of: (row) => row.text },
      { name: "Reason", of: (row) => row.reason, style: "w-l" },
      { name: "Evidence", of: (row) => row.evidence, style: "w-l wide" },
      { name: "Score", of: (row) => row.score, show: (row) => score(row.score), isNumber: true, style: "w-s wide" },
      { name: "Round", of: (row) => row.round, isNumber: true, style: "w-s wide" },
    ],
    filters: [
      { name: "Reason", choices: [["any", null], ...reasons.map((reason) => [reason, (row) => row.reason === reason])] },
      { name: "Kind", choices: [["any", null], ["instruction", (row) => row.kind === "instruction"], ["instance", (row) => row.kind === "instance"]] },
    ],
  });
}

/** The table of one pool; with two pools, the reader chooses one. */
function placed(id, made) {
  const host = el("div", {}, made[0].node);
  if (made.length > 1) {
    const choice = el("select", { id: `${id}-pool`, change: () => host.replaceChildren(made[Number(choice.value)].node) }, pools.map((pool, side) => el("option", { value: String(side) }, pool.name)));
    put(id, el("div", { class: "tools" }, el("div", {}, el("label", { for: `${id}-pool` }, "Pool"), choice)));
    made.choose = (side) => { choice.value = String(side); host.replaceChildren(made[side].node); };
  }
  put(id, host);
  return made;
}

function pick(side, verb, noun) {
  if (!tables.length) return;
  const [tasks] = tables;
  tasks.choose?.(side);
  tasks[side].reset();
  tasks[side].pick(`with the verb ${verb}${noun ? ` and the object ${noun}` : ""}`, (row) => isGenerated(row) && row.state !== "removed" && row.verb === verb && (!noun || row.noun === noun));
  document.getElementById("tasks").scrollIntoView();
  tasks[side].searched.focus({ preventScroll: true });
}

async function unpack() {
  for (let side = 0; side < pools.length; side++) {
    const [tasks, details, rejections] = await Promise.all([unpacked(`tasks-${side}`), unpacked(`details-${side}`), unpacked(`rejections-${side}`)]);
    const rows = tasks.map(named(TASK));
    data.push({ tasks: rows, byPosition: new Map(rows.map((row) => [row.position, row])), details: new Map(details.map((row) => [row[0], row])), rejections: rejections.map(named(REJECTION)) });
  }
}

function instructionOf(side, position) {
  const task = data[side].byPosition.get(position);
  return el("button", { type: "button", class: "link", click: () => task && openTask(side, task) }, task ? task.instruction.slice(0, 140) : `task ${position}`);
}

/** Figures are drawn once they have a width, which is before the second frame from now. */
const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

async function start() {
  document.getElementById("about").textContent = about(pools);
  verdict(pools);
  summary(pools);
  topics(pools, pick);
  novelty(pools);
  growth(pools);
  rejected(pools);
  cost(pools);
  shape(pools);
  await unpack();
  samples(pools, data, openTask);
  lineage(pools, instructionOf);
  pairs(pools, (side, position) => { const task = data[side].byPosition.get(position); if (task) openTask(side, task); });
  tables = [placed("tasks", pools.map((_, side) => taskTable(side))), placed("rejections", pools.map((_, side) => rejectionTable(side)))];
  for (const [place, id] of ["tasks", "rejections"].entries()) {
    const left = pools.map((pool, side) => [pool, tables[place][side].rows.length, id === "tasks" ? pool.status.seeds + pool.status.tasks + pool.status.tasks_pending + pool.status.tasks_without_instances : sum(pool.reasons.map((one) => one.count))]).filter(([, there, all]) => there < all);
    for (const [pool, there, all] of left) put(id, el("p", { class: "note" }, `The newest ${number(there)} of ${number(all)} of ${pool.name}; explain finds the others.`));
  }
  await drawn();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
