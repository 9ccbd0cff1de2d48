// The sections about the tasks, for one pool or for two over each other. What is counted are the rows that the filter leaves.

const put = (id, ...nodes) => document.getElementById(id).append(...nodes.flat(3).filter((node) => known(node)));
const forEach = (make) => pools.map((pool, side) => make(pool, pools.length > 1 ? pool.name : "", side));
const titled = (title, name) => (name ? `${title}: ${name}` : title);
const scrolled = (label, ...nodes) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...nodes);
const percent = (value, digits = 0) => `${(100 * value).toFixed(digits)}%`;
const compares = () => pools.length > 1;

function about() {
  return pools.map((pool) => {
    const { recipe, models, usd } = pool.status;
    const told = [recipe ? `recipe ${recipe}` : "no round yet", models.length ? `${models.length > 1 ? "models" : "model"} ${models.join(", ")}` : null,
      plural(pool.runs, "run"), pool.last_run ? `the last on ${pool.last_run.slice(0, 10)}` : null, usd ? dollars(usd) : null];
    return (compares() ? `${pool.name}: ` : "") + told.filter(Boolean).join(" · ");
  }).join("; ");
}

const MARKS = { good: ["good", "✓"], look: ["have a look", "?"], bad: ["bad", "!"], none: ["none yet", "–"] };

/** The sentence, and the figures that it comes from: each with its mark, what it is compared to, and where more stands. */
function verdict() {
  const badge = (mark) => el("span", { class: `badge ${mark}` }, el("span", { "aria-hidden": "true" }, MARKS[mark][1]), ` ${MARKS[mark][0]}`);
  const row = (one) => [el("a", { href: `#${one.section}`, title: one.help }, one.name), one.value, badge(one.mark), one.reference, one.bounds, one.help];
  put("verdict", forEach((pool, name) => el("div", { class: "card" }, name ? el("h3", {}, name) : null,
    el("p", { class: "said" }, pool.verdict.said),
    el("div", { class: "scroll marks", tabindex: "0", role: "region", "aria-label": titled("Figures with their marks", name) },
      smallTable(["figure", "here", "mark", "compare", "bounds", "what it is"], pool.verdict.marks.map(row), "")),
    el("p", { class: "note" }, "None of these says whether answers are right: read some rows, or let a judge score them."))));
}

const worst = (row) => Math.min(...row.instances.map((one) => one[5]).filter((points) => points > 0));
function begins({ instruction }) {
  let end = -1;
  for (let words = 0; words < 3 && (words === 0 || end > 0); words++) end = instruction.indexOf(" ", end + 1);
  return (end > 0 ? instruction.slice(0, end) : instruction).toLowerCase();
}

/** What wants a look, each with the rows that it is about. */
function attention(tasks, rejections) {
  const doubts = [
    ["accepted without a row: no answer passed the checks", (row) => row.state === "without_instances"],
    ["close to an earlier task, ROUGE-L 0.6 and above", (row) => isUsual(row) && row.nearest >= 0.6],
    ["no classification, yet answered in two words or fewer", (row) => isUsual(row) && row.classification !== 1 && row.instances.some((one) => one[1] <= 2)],
    ["scored 3 of 5 or fewer by the judge", (row) => isUsual(row) && worst(row) <= 3],
  ];
  put("attention", forEach((pool, name, side) => {
    const accepted = tasks.rows[side].filter((row) => row.state !== "seed" && row.state !== "removed"), all = accepted.filter(isUsual), alike = tally(all.map(begins))[0];
    const found = alike && alike[1] >= 5 ? [...doubts, [`begin with “${alike[0]}”`, (row) => isUsual(row) && begins(row) === alike[0]]] : doubts;
    const show = (filter, what, test, id) => () => { filter.pick(what, test); go(id, side); };
    const item = (button, what) => el("li", {}, button, ` ${what}`);
    const items = found.map(([what, test]) => [tasks.rows[side].filter(test).length, what, test]).filter(([count]) => count).map(([count, what, test]) =>
      item(el("button", { type: "button", class: "link", click: show(tasks, what, test, "tasks") }, `${plural(count, "task")} (${share(count, accepted.length, 1)})`), what));
    const reason = pool.reasons[0];
    if (reason) items.push(item(el("button", { type: "button", class: "link", click: show(rejections, inWords(reason.reason), (row) => row.reason === reason.reason && row.kind === reason.kind, "rejections") },
      plural(reason.count, "rejection")), `for the most frequent reason, ${inWords(reason.reason)}: ${reason.meaning}`));
    return el("div", { class: "card" }, name ? el("h3", {}, name) : null, items.length ? el("ul", {}, items) : el("p", {}, "Nothing."));
  }));
}

/** Six finished tasks with a row each, of as many verbs as there are; a button shows six others. */
function samples(open) {
  put("samples", forEach((pool, name, side) => {
    const { byPosition } = data[side];
    const rows = data[side].samples.filter(([position]) => byPosition.has(position)).map(([position, texts]) => [byPosition.get(position), texts[0]]);
    const turn = new Map(), place = new Map(rows.map(([task]) => [task, turn.set(task.verb, (turn.get(task.verb) || 0) + 1).get(task.verb)]));
    rows.sort((one, other) => place.get(one[0]) - place.get(other[0]));
    const list = el("div", { class: "grid two" });
    let from = 0;
    const card = ([task, texts]) => el("article", { class: "card row-card" },
      el("h3", {}, task.instruction), ...row(texts),
      el("p", { class: "dim" }, el("button", { type: "button", class: "link", click: () => open(side, task) }, `task ${task.position}: where it came from`)));
    const more = el("button", { type: "button", class: "plain", click: () => { from = (from + 6) % rows.length; fill(); } }, "Show others");
    const fill = () => list.replaceChildren(...rows.slice(from, from + 6).map(card));
    fill();
    return el("div", {}, name ? el("h3", {}, name) : null, rows.length ? list : el("p", {}, "No task is finished yet."), rows.length > 6 ? el("p", {}, more) : null);
  }));
}

/** Name, value, remark, and for a comparison the figure with its digits and what more of it is called. */
const FIGURES = [
  ["Finished tasks", (pool) => number(pool.tasks), (pool) => `grown from ${plural(pool.status.seeds, "seed")}`, (pool) => pool.tasks],
  ["Rows", (pool) => number(pool.rows), (pool) => (pool.tasks ? `${(pool.rows / pool.tasks).toFixed(2)} a task` : null), (pool) => pool.rows],
  ["Accepted", (pool) => (known(pool.status.acceptance_rate) ? percent(pool.status.acceptance_rate, 1) : "none yet"), () => "of all instructions decided", (pool) => pool.status.acceptance_rate, 3, ["more", "less"]],
  ["Candidates", (pool) => number(pool.status.candidates), (pool) => `${number(sum(Object.values(pool.status.rejections)))} rejected`, (pool) => pool.status.candidates],
  ["On their way", (pool) => number(pool.status.tasks_pending), (pool) => `${plural(pool.status.waiting, "candidate")} waiting`, (pool) => pool.status.tasks_pending],
  ["Removed", (pool) => number(pool.status.removed), (pool) => `tasks taken out by hand or rule${pool.status.removed_rows ? `, and ${plural(pool.status.removed_rows, "row")} alone` : ""}`, (pool) => pool.status.removed],
  ["Rounds", (pool) => number(pool.status.rounds), (pool) => `${plural(pool.status.requests, "request")}`, (pool) => pool.status.rounds],
  ["Tokens", (pool) => number(pool.status.prompt_tokens + pool.status.completion_tokens), (pool) => (pool.tasks ? `${number((pool.status.prompt_tokens + pool.status.completion_tokens) / pool.tasks)} a finished task` : null), (pool) => pool.status.prompt_tokens + pool.status.completion_tokens],
  ["Cost", (pool) => (pool.status.usd ? dollars(pool.status.usd) : "none"), (pool) => (!pool.status.usd ? "no price is known" : pool.tasks ? `${dollars(pool.status.usd / pool.tasks)} a finished task` : null), (pool) => pool.status.usd, 2, ["more", "less"]],
];

const VARIED = ["more: more varied", "less: less varied"], ALIKE = ["more: less varied", "less: more varied"];
const DIVERSITY = [
  ["distinct_1", "Distinct-1", "different words, of all words", 3, VARIED],
  ["distinct_2", "Distinct-2", "different pairs of words, of all", 3, VARIED],
  ["compression_ratio", "Compression ratio", "higher: more repetition", 2, ALIKE],
  ["top_openings_share", "Ten openings", "share of the ten most frequent", 3, ALIKE],
  ["verb_noun_pairs", "Verb-noun pairs", "different ones", 0, VARIED],
  ["verb_noun_entropy", "Verb-noun entropy", "in bits", 2, VARIED],
  ["mean_nearest_rouge_l", "Nearest ROUGE-L", "mean, to an earlier instruction", 3, ALIKE],
  ["vendi_score", "Vendi score", "the number of different instructions that would be as varied", 1, VARIED],
  ["vendi_score_embeddings", "Vendi score by meaning", "the same, by embeddings", 1, VARIED],
];

/** How a second figure differs from a first, with direction and words. */
function difference(one, other, digits = 0, [more, less] = ["more", "fewer"]) {
  if (!known(one) || !known(other)) return "";
  const by = Math.abs(other - one).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return Number(by.replaceAll(",", "")) ? `${other > one ? "▲" : "▼"} ${by} ${other > one ? more : less}` : "the same";
}

function tiles(items) {
  return el("dl", { class: "tiles" }, items.map(([name, value, note]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null))));
}

/** Tiles for one pool; for two a table whose last column says how the second differs. */
function compared(items, caption) {
  if (!compares()) return tiles(items.map(({ name, note, values }) => [name, values[0], note]));
  const rows = items.map(({ name, values, raw, digits, words }) => [name, ...values, difference(...raw, digits, words)]);
  return el("div", { class: "card" }, scrolled(caption, smallTable(["", ...pools.map((pool) => pool.name), `${pools[1].name} has`], rows, caption)));
}

function summary() {
  put("summary", pools.filter((pool) => pool.is_running).map((pool) => el("p", { class: "notice" },
    `The last run of ${pool.name} has not ended, or was killed: the figures are those of the moment at which this file was written.`)));
  const shown = FIGURES.filter(([name]) => name !== "Removed" || pools.some((pool) => pool.status.removed || pool.status.removed_rows));
  put("summary", compared(shown.map(([name, value, note, raw, digits, words]) => ({ name, note: note(pools[0]), values: pools.map(value), raw: pools.map(raw), digits, words })), "Summary"));
}

/** [name, count] of each, the most frequent first. */
function tally(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) || 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]);
}

/** Values of a chart out of a count for each pool: shares where there are two, so that pools of different size compare. */
function values(side, parts, all) {
  return parts.map(({ count, ...part }) => ({
    ...part, count, series: pools[side].name, value: compares() ? (all ? count / all : 0) : count,
    text: `${part.name ?? part.label}: ${number(count)}${all ? ` (${share(count, all, 1)})` : ""}${compares() ? ` of ${pools[side].name}` : ""}`,
  }));
}

/** The numbers of such a chart: a line for each name, a column for each pool. */
function numbers(found, shown = (text) => text) {
  const names = new Map();
  for (const one of found) {
    const name = one.name ?? one.label;
    if (!names.has(name)) names.set(name, { one, counts: pools.map(() => 0) });
    names.get(name).counts[pools.findIndex((pool) => pool.name === one.series)] += one.count;
  }
  return [...names].filter(([, { counts }]) => sum(counts)).map(([name, { one, counts }]) => [shown(name, one), ...counts]);
}

const columnsOf = (what) => [what, ...pools.map((pool) => (compares() ? pool.name : "tasks"))];
const inAll = (found) => `${number(sum(found.map((one) => one.count)))} counted.`;

const VERBS = 24, NOUNS = 8;

function topics(tasks) {
  const items = DIVERSITY.filter(([key]) => pools.some((pool) => key in pool.diversity)).map(([key, name, note, digits, words]) => {
    const raw = pools.map((pool) => pool.diversity[key]);
    return { name: compares() ? `${name} (${note})` : name, note, values: raw.map((value) => (known(value) ? (digits ? decimal(value, digits) : number(value)) : "none yet")), raw, digits, words };
  });
  const samples = pools.filter((pool) => pool.diversity.instructions < pool.tasks).map((pool) => el("p", { class: "note" },
    `${compares() ? `${pool.name}: these` : "These"} figures are of ${number(pool.diversity.instructions)} of the ${plural(pool.tasks, "task")}, the Vendi score of ${number(pool.diversity.vendi_sample)}.`));
  put("topics", el("div", {}, compared(items, "Diversity of the generated instructions"), ...samples));
  const choose = (verb, noun) => {
    tasks.pick(`with the verb ${verb}${noun ? ` and the object ${noun}` : ""}`, (row) => isUsual(row) && row.verb === verb && (!noun || row.noun === noun));
    go("tasks");
  };
  const counted = () => {
    const nounsOf = tasks.counted.map((rows) => {
      const found = new Map();
      for (const { verb, noun } of rows) if (verb) { if (!found.has(verb)) found.set(verb, []); found.get(verb).push(noun); }
      return found;
    });
    const all = new Map();
    for (const found of nounsOf) for (const [verb, nouns] of found) all.set(verb, (all.get(verb) || 0) + nouns.length);
    const verbs = [...all].sort((one, other) => other[1] - one[1]).slice(0, VERBS).map(([verb]) => verb);
    return tasks.counted.flatMap((rows, side) => verbs.flatMap((verb) => {
      const nouns = tally(nounsOf[side].get(verb) || []);
      const named = nouns.filter(([noun]) => noun).slice(0, NOUNS), rest = sum(nouns.map((one) => one[1])) - sum(named.map((one) => one[1]));
      return values(side, [...named, ["", rest]].filter(([, count]) => count).map(([noun, count], order) => ({ label: verb, name: `${verb} ${noun || "(other objects, or none)"}`, noun, count, order: noun ? order : NOUNS })), rows.length);
    }));
  };
  const spec = () => {
    const made = bars(compares() ? "share of tasks" : "tasks", { percent: compares() })();
    made.mark = { ...made.mark, stroke: colour("card"), cursor: "pointer" };
    made.encoding.x.stack = true;
    made.encoding.opacity = { field: "order", type: "quantitative", scale: { domain: [0, NOUNS], range: [1, 0.3] }, legend: null };
    return made;
  };
  const button = (verb, noun) => el("button", { type: "button", class: "link", "aria-label": noun ? `show the tasks ${verb} ${noun}` : `show the tasks with the verb ${verb}`, click: () => choose(verb, noun) }, noun || verb);
  put("topics", figure({
    title: "Verbs and what they act on", wide: true, room: compares() ? 800 : 590, values: counted, spec, pick: (one) => choose(one.label, one.noun), columns: [...columnsOf("verb"), "objects"],
    note: `The ${VERBS} most frequent verbs; the parts of a bar are their objects, the most frequent first. A click shows the tasks. Questions stand under their question word, other languages under their first words.`,
    alt: (found) => `The most frequent: ${[...new Set(found.map((one) => one.label))].slice(0, 5).join(", ") || "none yet"}.`,
    rows: (found) => tally(found.flatMap((one) => Array(one.count).fill(one.label))).map(([verb]) => {
      const own = found.filter((one) => one.label === verb);
      return [button(verb), ...pools.map((pool) => sum(own.filter((one) => one.series === pool.name).map((one) => one.count))),
        el("span", {}, [...new Set(own.map((one) => one.noun).filter(Boolean))].flatMap((noun, place) => [place ? ", " : "", button(verb, noun)]))];
    }),
  }));
}

const BINS = 50;

/** Scores to the nearest; in large pools those of a sample, as scores of the first tasks alone would be others. */
function novelty(tasks) {
  const scores = (key, title, note, isKnown) => {
    const counted = () => tasks.counted.flatMap((rows, side) => {
      const known_ = rows.filter((row) => known(row[key]) && isKnown(row, side)), bins = Array(BINS).fill(0);
      // A score exactly on an edge, such as 0.58, may be a little below it as a float.
      for (const row of known_) bins[Math.min(BINS - 1, Math.floor(row[key] * BINS + 1e-9))] += 1;
      return values(side, bins.map((count, place) => ({ from: place / BINS, to: (place + 1) / BINS, name: `${(place / BINS).toFixed(2)} to ${((place + 1) / BINS).toFixed(2)}`, count })), known_.length);
    });
    return figure({
      title, note: note + forEach((pool, name, side) => {
        const all = data[side].tasks.filter(isUsual), of = all.filter((row) => known(row[key]) && isKnown(row, side)).length;
        return of < all.length ? ` ${name ? `${name}: ` : ""}${number(of)} of ${number(all.length)} tasks, evenly spread.` : "";
      }).join(""),
      values: counted, spec: histogram("ROUGE-L F1", compares() ? "share of tasks" : "tasks", { domain: [0, 1] }), alt: inAll, columns: columnsOf("ROUGE-L F1"), rows: (found) => numbers(found),
      pick: (one) => { tasks.pick(`with ROUGE-L ${one.name}`, (row) => isUsual(row) && row[key] >= one.from && row[key] < one.to); go("tasks"); },
    });
  };
  put("novelty", el("div", { class: "grid" },
    scores("nearest", "To the nearest earlier instruction", "How much each accepted instruction has in common with the most similar earlier one, seeds included. A copy is at 1.", (row, side) => !pools[side].is_sampled || row.id[1] === "0"),
    scores("nearestSeed", "To the nearest seed", "The same, compared with the seeds alone. Instructions far to the left are unlike every seed.", () => true)));
}

/** Bins of equal width for numbers of words: at most 30 of them hold 99 % of each pool; the last one is open. */
function lengthBins(counts) {
  const limit = Math.max(...counts.map((one) => below(one, 0.99))), most = Math.max(...counts.map((one) => one.length - 1));
  const width = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20000, 100000].find((one) => limit / one < 30) || 1e6;
  const last = Math.floor(limit / width);
  return counts.map((of) => {
    const bins = Array.from({ length: last + 1 }, (_, place) => {
      const from = place * width, to = from + width - 1, isOpen = place === last && most > to;
      return { from, to: to + 1, name: isOpen ? `${from} words and more` : width === 1 ? plural(from, "word") : `${from} to ${to} words`, count: 0 };
    });
    of.forEach((count, words) => { bins[Math.min(last, Math.floor(words / width))].count += count; });
    return bins;
  });
}

/** The number of words that this share of texts does not exceed, by their counts. */
function below(counts, share_) {
  const all = sum(counts.filter(Boolean));
  let seen = 0;
  return Math.max(0, counts.findIndex((count) => (seen += count || 0) >= share_ * all && seen));
}

const LANGUAGES = (() => { try { return new Intl.DisplayNames(["en"], { type: "language" }); } catch { return { of: (code) => code }; } })();

/** Shares of tasks by something that each of them is; the most frequent first, or in the order of names. */
function kinds(tasks, title, of, note = "", inOrder = false) {
  const counted = () => {
    const counts = tasks.counted.map((rows) => new Map(tally(rows.map(of))));
    const names = tally(counts.flatMap((one) => [...one.keys()])).map(([name]) => name);
    names.sort((one, other) => sum(counts.map((of) => (of.get(other) || 0) - (of.get(one) || 0))));
    if (inOrder) names.sort(new Intl.Collator("en", { numeric: true }).compare);
    return counts.flatMap((of, side) => {
      const all = sum([...of.values()]);
      return values(side, names.slice(0, 30).map((label) => ({ label, count: of.get(label) || 0 })), all).map((one) => ({ ...one, value: all ? one.count / all : 0 }));
    });
  };
  return figure({
    title, note, room: 100, values: counted, spec: bars("share of tasks", { percent: true }), alt: (found) => `${found.slice(0, 4).map((one) => one.text).join("; ") || "none yet"}.`,
    columns: columnsOf(title.toLowerCase()), rows: (found) => numbers(found),
    pick: (one) => { tasks.pick(`${title.toLowerCase()}: ${one.label}`, (row) => isUsual(row) && of(row) === one.label); go("tasks"); },
  });
}

const withInput = (row) => {
  const some = row.instances.filter((one) => one[0]).length;
  return !some ? "without input" : some < row.instances.length ? "some with, some without" : "with input";
};

function shape(tasks) {
  const counts = (each) => tasks.counted.map((rows) => {
    const found = [], add = (words) => { found[words] = (found[words] || 0) + 1; };
    for (const row of rows) each(row, add);
    return found;
  });
  let last;
  const lengths = (title, note, each) => figure({
    title, note, values: () => lengthBins(last = counts(each)).flatMap((bins, side) => values(side, bins, sum(bins.map((one) => one.count)))),
    spec: histogram("words", compares() ? "share" : "number"), columns: columnsOf("words"), rows: (found) => numbers(found),
    alt: () => `Half of them have at most ${last.map((one) => number(below(one, 0.5))).join(" and ")} words.`,
  });
  put("shape", el("div", { class: "grid three" },
    lengths("Length of instructions", "Words of generated instructions.", (row, add) => add(row.words)),
    lengths("Length of inputs", "Words of inputs that are not empty.", (row, add) => { for (const one of row.instances) if (one[0]) add(one[0]); }),
    lengths("Length of outputs", "Words of outputs; a label is one or two.", (row, add) => { for (const one of row.instances) add(one[1]); }),
    kinds(tasks, "Kind", (row) => (row.classification === 1 ? "classification" : "generation")),
    kinds(tasks, "Input", withInput),
    kinds(tasks, "Rows a task", (row) => plural(row.instances.length, "row"), "", true)),
  forEach((pool, name) => {
    const { counts, sample, unsure } = pool.languages;
    const told = (counts || []).map(([code, count]) => `${LANGUAGES.of(code)} ${share(count, sample)}`);
    if (unsure) told.push(`others, or unsure ${share(unsure, sample)}`);
    return el("p", { class: "note" }, titled("Language", name), counts
      ? `: ${told.join(", ") || "none yet"}, by a quick detector, of ${plural(sample, "instruction")} spread over the pool.`
      : ' is not detected: pip install "selfinstruct[languages]" adds the detector.');
  }));
}

function lineage(tasks) {
  put("lineage", kinds(tasks, "How deep the pool is", (row) => `generation ${row.generation}`, "A seed is generation 0; a task is one later than the latest of the tasks that its request showed.", true),
    forEach((pool, name, side) => {
      const { fruitful, barren, shown, barren_count: none, median_shown: often } = pool.demonstrations;
      if (!shown) return null;
      const row = (one) => [taskButton(side, one.position), one.shown, one.bore, (one.bore / one.shown).toFixed(1)];
      const card = (title, note, rows) => el("div", { class: "card" }, el("h3", {}, titled(title, name)), el("p", { class: "note" }, note),
        rows.length ? scrolled(titled(title, name), smallTable(["task that was shown", "times shown", "accepted", "each time"], rows, "")) : null);
      return el("details", {}, el("summary", {}, titled("Which tasks were shown, and what came of it", name)), el("div", { class: "grid two" },
        card("Demonstrations with most accepted tasks", `Accepted tasks for each request that showed it, of those shown ${plural(often, "time")} or more.`, fruitful.map(row)),
        card("Demonstrations without an accepted task", `${number(none)} of the ${number(shown)} tasks that were shown brought no accepted task.`, barren.map(row))));
    }));
}

function pairs() {
  put("pairs", el("p", { class: "note" }, "Accepted instructions with the earlier one that each resembles most; what both have in common, in this order, is marked. If they look the same to you, lower the threshold."),
    pools.filter((pool) => pool.unscored).map((pool) => el("p", { class: "note" }, `${compares() ? `${pool.name}: not` : "Not"} among them can be ${plural(pool.unscored, "task")} for which no score is kept.`)),
    forEach((pool, name, side) => {
      const text = (pieces) => el("p", {}, pieces.map(([piece, isCommon]) => (isCommon ? el("mark", {}, piece) : piece)));
      return el("div", { class: "card" }, name ? el("h3", {}, name) : null, pool.pairs.length ? pool.pairs.map((pair) =>
        el("div", { class: "pair" }, el("div", {}, el("span", { class: "score" }, pair.score.toFixed(3)), " ", el("small", {}, "ROUGE-L")),
          el("div", {}, text(pair.this), taskButton(side, pair.positions[0], `task ${pair.positions[0]}`)),
          el("div", {}, text(pair.that), taskButton(side, pair.positions[1], `${pair.is_seed ? "seed" : "task"} ${pair.positions[1]}`))))
        : el("p", {}, "There are none yet."));
    }));
}
