// Builds the page: the figures at once, the rows of the tables when they are unpacked.

const pools = JSON.parse(document.getElementById("figures").textContent);

const TASK = ["position", "id", "state", "instruction", "classification", "round", "nearest", "nearestTask", "nearestSeed", "verb", "noun", "words", "generation", "source", "drawn", "parent", "instances", "output"];
const REJECTION = ["request", "place", "kind", "reason", "round", "score", "nearestTask", "task", "text", "evidence", "input"];
const named = (keys) => (row) => Object.fromEntries(keys.map((key, place) => [key, row[place]]));
const STATES = { seed: "seed", done: "finished", pending: "on its way", without_instances: "without a row", removed: "removed" };

const dialog = document.getElementById("detail");
const data = [];
let choosers = {};

function show(title, nodes) {
  const close = el("button", { type: "button", class: "plain", click: () => dialog.close() }, "Close");
  dialog.replaceChildren(el("div", { class: "bar-top" }, el("h2", { id: "detail-title" }, title), close), ...nodes.filter(known));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

const facts = (entries) => el("dl", {}, entries.filter(([, value]) => known(value) && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]));
const block = (name, text) => [el("h4", {}, name), el("pre", { tabindex: "0" }, text)];
const command = (side, said, words) => el("p", { class: "dim" }, `${said}: `, el("code", {}, `python -m selfinstruct ${words.replace("POOL", pools[side].status.pool.replace(/\/versions\/\d+$/, ""))}`));
const explained = (side, what) => command(side, "All there is to know", `explain POOL ${what}`);

/** The texts of one row: input, output, and further turns. */
const row = ([input, output, ...turns], number = "") => [...(input ? block(`Input${number}`, input) : []), ...block(`Output${number}`, output),
  ...turns.flatMap((text, place) => block(place % 2 ? "Assistant" : "User", text))];

/** Goes to a section, and there to a pool. */
function go(id, side = 0) {
  choosers[id]?.(side);
  document.getElementById(id).scrollIntoView();
}

/** A task by its instruction or other words; it opens the task. */
function taskButton(side, position, words) {
  const task = data[side].byPosition.get(position);
  const text = words ?? task?.instruction.slice(0, 140) ?? `task ${position}`;
  return task ? el("button", { type: "button", class: "link", click: () => openTask(side, task) }, text) : el("span", {}, text);
}

const taskLink = (side, position, note) => el("li", {}, note ? `${note} ` : null, taskButton(side, position, data[side].byPosition.get(position)?.instruction));

async function openTask(side, task) {
  if (!data[side].details) await unpackDetails(side);
  const { details, rejections } = data[side];
  const detail = details.get(task.position);
  const near = rejections.filter((one) => one.nearestTask === task.position && one.kind === "instruction");
  const lost = rejections.filter((one) => one.task === task.position);
  const link = (one) => el("li", {}, `${inWords(one.reason)} `, el("button", { type: "button", class: "link", click: () => openRejection(side, one) }, one.text || one.evidence || "(empty)"));
  show(`${task.state === "seed" ? "Seed" : "Task"} ${task.position}`, [
    el("pre", { tabindex: "0" }, task.instruction),
    facts([
      ["id", el("code", {}, task.id)], ["state", STATES[task.state] || task.state], ["source", task.source], ...Object.entries(task.drawn || {}).map(([name, value]) => [`drawn: ${name}`, value]), ["kind", { 1: "classification", 0: "generation" }[task.classification]], ["round", task.round],
      ["verb and object", [task.verb, task.noun].filter(Boolean).join(" ")], ["words", number(task.words)], ["generation", number(task.generation)],
      ["nearest earlier", known(task.nearest) ? el("ul", {}, taskLink(side, task.nearestTask, task.nearest.toFixed(4))) : null],
      ["nearest seed", known(task.nearestSeed) ? `ROUGE-L ${task.nearestSeed.toFixed(4)}` : null],
    ]),
    ...(detail ? detail[1].flatMap((texts, place) => [...row(texts, detail[1].length > 1 ? ` ${place + 1}` : ""), scores(task.instances[place])]) : []),
    detail ? null : el("p", { class: "dim" }, "Its inputs, outputs and demonstrations are not in this file, which is large as it is."),
    detail && detail[2].length ? el("h4", {}, "Shown in its request") : null,
    detail && detail[2].length ? el("ul", {}, detail[2].map((one) => taskLink(side, one))) : null,
    near.length ? el("h4", {}, `Rejected as too like it (${number(near.length)})`) : null,
    near.length ? el("ul", {}, near.slice(0, 20).map(link)) : null,
    lost.length ? el("h4", {}, `Its rejected instances (${number(lost.length)})`) : null,
    lost.length ? el("ul", {}, lost.slice(0, 20).map(link)) : null,
    explained(side, task.id), command(side, "To take it out", `remove POOL ${task.id} --reason "..."`),
  ]);
}

function openRejection(side, one) {
  const { meaning } = pools[side].reasons.find((other) => other.reason === one.reason) || { meaning: "" };
  show(`Rejected ${one.kind}: ${inWords(one.reason)}`, [
    meaning ? el("p", {}, meaning) : null,
    ...block(one.kind === "instance" ? "Output" : "Text", one.text || "(empty)"),
    ...(one.input ? block("Input", one.input) : []),
    facts([
      ["evidence", one.evidence], ["round", one.round], ["score", known(one.score) ? `ROUGE-L ${one.score.toFixed(4)}` : null],
      ["resembles", known(one.nearestTask) ? el("ul", {}, taskLink(side, one.nearestTask)) : null],
      ["of task", known(one.task) ? el("ul", {}, taskLink(side, one.task)) : null],
    ]),
    explained(side, one.request),
  ]);
}

/** Is a task among those that an export has? */
const isUsual = (row) => row.state === "done" && row.instances.length > 0;
const score = (value) => (known(value) ? value.toFixed(3) : null);
const scores = (figures) => (figures?.length > 3 ? el("p", { class: "dim" }, `The judge's points: task ${figures[3]}, input ${figures[4]}, output ${figures[5]}, of 5`) : null);
const ANY = ["any", null];

function taskFilter() {
  const rows = data.map((one) => one.tasks), all = rows.flat();
  const names = [...new Set(all.map((row) => row.source).filter(known))].sort();
  const filters = [
    { name: "State", choices: [ANY, ["generated", (row) => row.state !== "seed"], ...Object.entries(STATES).map(([state, name]) => [name, (row) => row.state === state])] },
    { name: "Kind", choices: [ANY, ["classification", (row) => row.classification === 1], ["generation", (row) => row.classification === 0]] },
    { name: "Nearest ROUGE-L", choices: [ANY, ...[0.3, 0.5, 0.6, 0.7].map((least) => [`${least} and above`, (row) => row.nearest >= least])] },
  ];
  if (names.length > 1) filters.push({ name: "Source", choices: [ANY, ...names.map((name) => [name, (row) => row.source === name])] });
  if (all.some((row) => row.instances.some((one) => one.length > 3))) filters.push({ name: "Judge's points", choices: [ANY, ...[1, 2, 3, 4, 5].map((points) => [`output ${points}`, (row) => worst(row) === points])] });
  return new Filter({ id: "tasks", label: "tasks", rows, text: (row) => `${row.instruction}\n${row.output}`, filters, isUsual });
}

function rejectionFilter() {
  const reasons = [...new Set(pools.flatMap((pool) => pool.reasons.map((one) => one.reason)))];
  return new Filter({
    id: "rejections", label: "rejections", rows: data.map((one) => one.rejections), text: (row) => `${row.text}\n${row.evidence}\n${row.input}`,
    filters: [
      { name: "Reason", choices: [ANY, ...reasons.map((reason) => [inWords(reason), (row) => row.reason === reason])] },
      { name: "Of", choices: [ANY, ["instructions", (row) => row.kind === "instruction"], ["instances", (row) => row.kind === "instance"]] },
    ],
  });
}

const TASK_COLUMNS = [
  { name: "Instruction", of: (row) => row.instruction },
  { name: "Output", of: (row) => row.output, style: "w-x wide" },
  { name: "Number", of: (row) => row.position, isNumber: true, style: "w-n wide" },
  { name: "Id", of: (row) => row.id, style: "w-m wide id" },
  { name: "Nearest", of: (row) => row.nearest, show: (row) => score(row.nearest), isNumber: true, style: "w-s" },
  { name: "Words", of: (row) => row.words, isNumber: true, style: "w-s wide" },
  { name: "Rows", of: (row) => row.instances.length, isNumber: true, style: "w-s wide" },
  { name: "Round", of: (row) => row.round, isNumber: true, style: "w-s wide" },
];
const REJECTION_COLUMNS = [
  { name: "Text", of: (row) => row.text },
  { name: "Reason", of: (row) => inWords(row.reason), style: "w-l" },
  { name: "Evidence", of: (row) => row.evidence, style: "w-l wide" },
  { name: "Score", of: (row) => row.score, show: (row) => score(row.score), isNumber: true, style: "w-s wide" },
  { name: "Round", of: (row) => row.round, isNumber: true, style: "w-s wide" },
];

/** A task as it is downloaded; without rows where their texts are not in the file. */
function taskRecord(task, side) {
  const texts = data[side].details.get(task.position)?.[1];
  const rows = texts ? texts.map(([input, output, ...turns]) => ({ input, output, turns })) : null;
  return { id: task.id, number: task.position, state: task.state, source: task.source, round: task.round, nearest: task.nearest, instruction: task.instruction, input: rows?.[0]?.input ?? "", output: rows?.[0]?.output ?? "", rows };
}
const rejectionRecord = (one) => ({ request: one.request, place: one.place, kind: one.kind, reason: one.reason, round: one.round, score: one.score, text: one.text, evidence: one.evidence, input: one.input });

/** Hands a file to the reader, made here. */
function saved(name, text) {
  const url = URL.createObjectURL(new Blob([text]));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A cell of CSV. What a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value) {
  const text = !known(value) ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  return `"${(typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}
const asCsv = (records) => records.length ? [Object.keys(records[0]), ...records.map((one) => Object.values(one))].map((line) => line.map(cell).join(",")).join("\r\n") : "";
const asLines = (records) => records.map((one) => JSON.stringify(one)).join("\n");

/** The table of each pool, with downloads of what the filter leaves; with two pools, the reader chooses one. */
function placed(id, filter, columns, open, record, sort) {
  const tables = pools.map((_, side) => new RowTable({ label: id === "tasks" ? "Tasks" : "Rejections", filter, side, columns, onOpen: (one) => open(side, one), sort }));
  let shown = 0;
  const host = el("div", {}, tables[0].node);
  const choice = el("select", { id: `${id}-pool`, change: () => choose(Number(choice.value)) }, pools.map((pool, side) => el("option", { value: String(side) }, pool.name)));
  const choose = (side) => { shown = side; choice.value = String(side); host.replaceChildren(tables[side].node); };
  const download = (ending, made) => el("button", { type: "button", class: "plain", click: async () => {
    if (!data[shown].details) await unpackDetails(shown);
    saved(`${id}.${ending}`, made(filter.shown[shown].map((one) => record(one, shown))));
  } }, `Download as ${ending === "csv" ? "CSV" : "JSON Lines"}`);
  choosers[id] = choose;
  put(id, el("div", { class: "card" }, el("div", { class: "tools" }, compares() ? el("div", {}, el("label", { for: `${id}-pool` }, "Pool"), choice) : null, download("csv", asCsv), download("jsonl", asLines)), host));
}

async function unpack() {
  for (let side = 0; side < pools.length; side++) {
    const [tasks, some, rejections] = await Promise.all([unpacked(`tasks-${side}`), unpacked(`samples-${side}`), unpacked(`rejections-${side}`)]);
    const rows = tasks.map(named(TASK));
    data.push({ tasks: rows, byPosition: new Map(rows.map((row) => [row.position, row])), samples: some, rejections: rejections.map(named(REJECTION)) });
  }
}

/** Unpacks the whole texts of a pool, which takes long where they are many. */
async function unpackDetails(side) {
  if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  data[side].details = new Map((await unpacked(`details-${side}`)).map((row) => [row[0], row]));
}

/** Says of which rows the charts and tables are, where some are not in the file. */
function told(id, kept, all) {
  forEach((pool, name, side) => {
    if (kept(side) < all(pool)) put(id, el("p", { class: "note" }, `The newest ${number(kept(side))} of ${number(all(pool))} of ${pool.name} are in this file, and counted in the charts above; explain finds the others.`));
  });
}

/** Names the sections that have something to say, and drops the others. */
function contents() {
  const links = [];
  for (const section of document.querySelectorAll("main section")) {
    if (section.children.length < 2) section.remove();
    else links.push(el("a", { href: `#${section.id}` }, section.dataset.name));
  }
  document.querySelector("nav").append(...links);
}

async function start() {
  document.getElementById("about").textContent = about();
  verdict();
  summary();
  await unpack();
  const [places] = await unpacked("map-points");
  const tasks = taskFilter(), rejections = rejectionFilter();
  put("filter", tasks.node, tasks.foot);
  attention(tasks, rejections);
  samples(openTask);
  map(tasks, rejections, places);
  topics(tasks);
  novelty(tasks);
  shape(tasks);
  judge(tasks);
  conversations(tasks);
  preference();
  lineage(tasks);
  families(tasks);
  pairs();
  placed("tasks", tasks, TASK_COLUMNS, openTask, taskRecord, { column: 2, down: true });
  told("tasks", (side) => data[side].tasks.length, ({ status }) => status.seeds + status.tasks + status.tasks_pending + status.tasks_without_instances);
  growth();
  sources(tasks);
  rejected(rejections);
  put("rejections", rejections.node, rejections.foot);
  placed("rejections", rejections, REJECTION_COLUMNS, openRejection, rejectionRecord);
  told("rejections", (side) => data[side].rejections.length, (pool) => sum(pool.reasons.map((one) => one.count)));
  cost();
  contents();
  // The page is ready when the charts in sight are.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await Promise.all(charts.map((one) => one.made));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  for (const side of pools.keys()) await unpackDetails(side);
  document.documentElement.dataset.whole = "";
}

start();
