// Asks for the run once a second and shows it. Texts of models are set by textContent: they are never parsed as markup.
"use strict";

const token = new URLSearchParams(location.search).get("token") ?? "";
const $ = (id) => document.getElementById(id);
const EVERY_MS = 1000;
const PATIENCE = 3; // answers that may be missing until that is told
let missed = 0;
let paused = false;
let pool = "POOL";
const shown = {}; // what each part shows, so that it is drawn anew only where it changed

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function text(label, value) {
  if (!value) return [];
  const box = element("div", value, "text");
  box.dir = "auto";
  box.tabIndex = 0; // long ones scroll, by keyboard too
  box.role = "group";
  box.ariaLabel = label;
  return [element("p", label, "label"), box];
}

function item(...parts) {
  const made = document.createElement("li");
  made.append(...parts);
  return made;
}

function update(part, value, made) {
  const key = JSON.stringify(value);
  if (shown[part] === key) return;
  shown[part] = key;
  made(value);
}

function row(one) {
  const more = one.turns ? [element("p", `and ${one.turns} further turns`, "label")] : [];
  return item(...text("instruction", one.instruction), ...text("input", one.input), ...text("output", one.output), ...more,
    element("p", one.id, "label"));
}

function rejection(one) {
  const what = one.kind === "instruction" ? "instruction" : "output";
  const why = element("p", one.meaning || one.reason, "why");
  const evidence = [one.meaning && one.reason, one.evidence].filter(Boolean).join(": ");
  return item(why, ...text("input", one.input), ...text(what, one.text), element("p", evidence, "label"));
}

function reason([name, count, meaning]) {
  const made = document.createElement("tr");
  const what = element("td", meaning);
  what.append(element("p", name, meaning ? "label" : ""));
  made.append(what, element("td", count.toLocaleString("en")));
  return made;
}

function draw(now) {
  if (now.goal !== undefined) {
    $("left").textContent = now.ended ? "" : now.left;
    $("progress").max = now.goal;
    $("progress").value = now.done;
    $("reached").textContent = `${now.done.toLocaleString("en")} of ${now.goal.toLocaleString("en")} ${now.unit}`;
    document.title = `${Math.floor((100 * now.done) / now.goal)} % ${pool}`;
    update("figures", now.figures, (figures) => $("figures").replaceChildren(
      ...Object.entries(figures).filter(([, said]) => said).flatMap(([name, said]) => [element("dt", name), element("dd", said)]),
    ));
    update("reasons", now.reasons, (reasons) => {
      $("reasons").tBodies[0].replaceChildren(...reasons.map(reason));
      $("reasons").hidden = !reasons.length;
    });
  }
  update("rows", now.rows, (rows) => $("rows").replaceChildren(...rows.map(row)));
  update("rejections", now.rejections, (found) => $("rejections").replaceChildren(...found.map(rejection)));
}

function tell(state, isBad) {
  if ($("state").textContent !== state) $("state").textContent = state; // a reader of the screen says it once
  $("state").classList.toggle("bad", isBad);
}

function end({ exit_code: code, reason: why }) {
  const next = code === 0 ? `“selfinstruct review ${pool}” shows its rows.` : "The same command goes on from here.";
  tell(`The run has ended: ${why}. ${next}`, ![0, 3, 130].includes(code));
  $("pause").hidden = true;
}

async function look() {
  let now;
  try {
    const answer = await fetch("/api/now", { headers: { "X-Token": token } });
    now = await answer.json();
    if (!answer.ok) return tell(now.detail, true);
  } catch {
    missed += 1;
    if (missed >= PATIENCE) {
      tell(`The run does not answer any more: it has ended or was stopped. “selfinstruct status ${pool}” tells how far it came.`, true);
    }
    return setTimeout(look, EVERY_MS);
  }
  missed = 0;
  pool = now.pool;
  $("pool").textContent = pool;
  if (!paused || now.ended) draw(now);
  if (now.ended) return end(now.ended);
  tell(paused ? "paused: the run goes on" : now.goal === undefined ? "starting: the model is tried first" : "running", false);
  return setTimeout(look, EVERY_MS);
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
});
$("reasons").hidden = true;
void look();
