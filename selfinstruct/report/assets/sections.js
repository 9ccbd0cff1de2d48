// The sections of the page, for one pool or for two side by side.

const SIDES = ["a", "b"];
const sideStyle = (side) => `f-${SIDES[side]}`;

/** Series of counts, one for each pool. Two pools are shown as shares, so that pools of different size compare. */
function compared(pools, counts) {
  const asShare = pools.length > 1;
  return {
    series: pools.map((pool, side) => {
      const values = counts(pool), all = sum(values);
      return { name: pool.name, style: sideStyle(side), values: asShare ? values.map((value) => (all ? (100 * value) / all : 0)) : values };
    }),
    format: asShare ? (value) => `${value.toFixed(value < 10 && value % 1 ? 1 : 0)}%` : number,
    unit: asShare ? "share" : "",
  };
}

const poolLegend = (pools) => (pools.length > 1 ? pools.map((pool, side) => ({ name: pool.name, style: sideStyle(side) })) : []);
const forEach = (pools, make) => pools.map((pool, side) => make(pool, pools.length > 1 ? pool.name : "", side));
const titled = (title, name) => (name ? `${title}: ${name}` : title);
const put = (id, ...nodes) => document.getElementById(id).append(...nodes.flat(3).filter((node) => known(node)));

function about(pools) {
  return pools.map((pool) => {
    const { recipe, models } = pool.status;
    const told = [recipe ? `recipe ${recipe}` : "no round yet", models.length ? `models ${models.join(", ")}` : null, plural(pool.runs, "run")];
    return (pools.length > 1 ? `${pool.name}: ` : "") + told.filter(Boolean).join(" · ");
  }).join("; ");
}

const FIGURES = [
  ["Finished tasks", (pool) => number(pool.status.tasks), (pool) => `grown from ${plural(pool.status.seeds, "seed")}`, (pool) => pool.status.tasks],
  ["Instances", (pool) => number(pool.status.instances), (pool) => (pool.status.tasks ? `${(pool.status.instances / pool.status.tasks).toFixed(2)} a task` : null), (pool) => pool.status.instances],
  ["Accepted", (pool) => (known(pool.status.acceptance_rate) ? share(pool.status.acceptance_rate, 1, 1) : "none yet"), () => "of all instructions decided", (pool) => pool.status.acceptance_rate],
  ["Candidates", (pool) => number(pool.status.candidates), (pool) => `${number(sum(Object.values(pool.status.rejections)))} rejected`, (pool) => pool.status.candidates],
  ["On their way", (pool) => number(pool.status.tasks_pending), (pool) => `${plural(pool.status.waiting, "candidate")} waiting`, (pool) => pool.status.tasks_pending],
  ["Removed", (pool) => number(pool.status.removed), () => "tasks taken out by hand or rule", (pool) => pool.status.removed],
  ["Rounds", (pool) => number(pool.status.rounds), (pool) => `${plural(pool.status.requests, "request")}`, (pool) => pool.status.rounds],
  ["Tokens", (pool) => number(pool.status.prompt_tokens + pool.status.completion_tokens), (pool) => (pool.status.tasks ? `${number((pool.status.prompt_tokens + pool.status.completion_tokens) / pool.status.tasks)} a finished task` : null), (pool) => pool.status.prompt_tokens + pool.status.completion_tokens],
  ["Cost", (pool) => (pool.status.usd ? dollars(pool.status.usd) : "none"), (pool) => (!pool.status.usd ? "no price is known" : pool.status.tasks ? `${dollars(pool.status.usd / pool.status.tasks)} a finished task` : null), (pool) => pool.status.usd],
];

const MARKS = { good: ["good", "✓"], look: ["have a look", "?"], bad: ["bad", "!"], none: ["none yet", "–"] };

/** The sentence, and the figures that it comes from: each with its mark, what it is compared to, and where more stands. */
function verdict(pools) {
  const badge = (mark) => el("span", { class: `badge ${mark}` }, el("span", { "aria-hidden": "true" }, MARKS[mark][1]), ` ${MARKS[mark][0]}`);
  const row = (one) => [el("a", { href: `#${one.section}`, title: one.help }, one.name), one.value, badge(one.mark), one.reference, one.bounds, one.help];
  put("verdict", forEach(pools, (pool, name) => el("div", { class: "card" }, name ? el("h3", {}, name) : null,
    el("p", { class: "said" }, pool.verdict.said),
    el("div", { class: "scroll marks", tabindex: "0", role: "region", "aria-label": titled("Figures with their marks", name) },
      smallTable(["figure", "here", "mark", "compare", "bounds", "what it is"], pool.verdict.marks.map(row), "")),
    el("p", { class: "note" }, "None of these says whether answers are right: read some rows, or let a judge score them."))));
}

/** Six finished tasks with a row each, of as many verbs as there are; a button shows six others. */
function samples(pools, data, open) {
  put("samples", forEach(pools, (pool, name, side) => {
    const { details, byPosition } = data[side];
    const rows = [...details.values()].filter(([position, texts]) => texts.length && byPosition.get(position)?.state === "done")
      .map(([position, texts]) => [byPosition.get(position), texts[0]]).sort((one, other) => (one[0].id < other[0].id ? -1 : 1));
    const turn = new Map(), place = new Map(rows.map(([task]) => [task, turn.set(task.verb, (turn.get(task.verb) || 0) + 1).get(task.verb)]));
    rows.sort((one, other) => place.get(one[0]) - place.get(other[0]));
    const list = el("div", { class: "grid two" });
    let from = 0;
    const card = ([task, [input, output, ...turns]]) => el("article", { class: "card row-card" },
      el("h3", {}, task.instruction), ...(input ? block("Input", input) : []), ...block("Output", output),
      ...turns.flatMap((text, number) => block(number % 2 ? "Assistant" : "User", text)),
      el("p", { class: "dim" }, el("button", { type: "button", class: "link", click: () => open(side, task) }, `task ${task.position}: where it came from`)));
    const more = el("button", { type: "button", class: "plain", click: () => { from = (from + 6) % rows.length; fill(); } }, "Show others");
    const fill = () => list.replaceChildren(...rows.slice(from, from + 6).map(card));
    fill();
    return el("div", {}, name ? el("h3", {}, name) : null, rows.length ? list : el("p", {}, "No task is finished yet."), rows.length > 6 ? el("p", {}, more) : null);
  }));
}

const DIVERSITY = [
  ["distinct_1", "Distinct-1", "different words, of all words", 3],
  ["distinct_2", "Distinct-2", "different pairs of words, of all", 3],
  ["compression_ratio", "Compression ratio", "higher: more repetition", 2],
  ["top_openings_share", "Ten openings", "share of the ten most frequent", 3],
  ["verb_noun_pairs", "Verb-noun pairs", "different ones", 0],
  ["verb_noun_entropy", "Verb-noun entropy", "in bits", 2],
  ["mean_nearest_rouge_l", "Nearest ROUGE-L", "mean, to an earlier instruction", 3],
  ["vendi_score", "Vendi score", "the number of different instructions that would be as varied", 1],
  ["vendi_score_embeddings", "Vendi score by meaning", "the same, by embeddings", 1],
];

/** The figures of diversity that one of these pools has. Those by embeddings are optional. */
const diversityOf = (pools) => DIVERSITY.filter(([key]) => pools.some((pool) => key in pool.diversity));

function difference(one, other, digits) {
  if (!known(one) || !known(other)) return "";
  const by = other - one;
  return `${by > 0 ? "+" : by < 0 ? "−" : ""}${Math.abs(by).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

function tiles(items) {
  return el("dl", { class: "tiles" }, items.map(([name, value, note]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null))));
}

function summary(pools) {
  put("summary", pools.filter((pool) => pool.is_running).map((pool) => el("p", { class: "notice" },
    `The last run of ${pool.name} has not ended, or was killed: the figures are those of the moment at which this file was written.`)));
  if (pools.length === 1) {
    put("summary", tiles(FIGURES.filter(([name]) => name !== "Removed" || pools[0].status.removed).map(([name, value, note]) => [name, value(pools[0]), note(pools[0])])));
    return;
  }
  const rows = FIGURES.map(([name, value, , raw]) => [name, ...pools.map(value), difference(raw(pools[0]), raw(pools[1]), name === "Accepted" ? 3 : name === "Cost" ? 2 : 0)]);
  put("summary", el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Summary of both pools" },
    smallTable(["", ...pools.map((pool) => pool.name), "difference"], rows, "Both pools")));
}

function topics(pools, onPick) {
  if (pools.length === 1) {
    put("topics", tiles(diversityOf(pools).map(([key, name, note, digits]) => [name, known(pools[0].diversity[key]) ? (digits ? decimal(pools[0].diversity[key], digits) : number(pools[0].diversity[key])) : "none yet", note])));
  } else {
    const rows = diversityOf(pools).map(([key, name, note, digits]) => [`${name} (${note})`, ...pools.map((pool) => decimal(pool.diversity[key], digits)), difference(pools[0].diversity[key], pools[1].diversity[key], digits)]);
    put("topics", el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Diversity of both pools" },
      smallTable(["", ...pools.map((pool) => pool.name), "difference"], rows, "Diversity of the generated instructions")));
  }
  put("topics", forEach(pools, (pool, name, side) => {
    const covered = sum(pool.verbs.listed.map((one) => one[1]));
    return el("div", { class: "card" }, el("h3", {}, titled("Verbs and what they act on", name)),
      el("p", { class: "note" }, `The verb of each request and its object; ${plural(pool.verbs.listed.length, "verb")} of ${number(pool.verbs.verbs)}, which are ${share(covered, pool.verbs.total)} of all instructions. A verb can be looked at alone; an object shows its tasks. Questions stand under their question word, other languages under their first words.`),
      sunburst(pool.verbs, name, (verb, noun) => onPick(side, verb, noun)));
  }));
}

const BIN_NAMES = (count) => Array.from({ length: count }, (_, place) => {
  const from = (place / count).toFixed(2), to = ((place + 1) / count).toFixed(2);
  return { label: from, name: `${from} to ${to}` };
});

function scores(pools, key, title, note, known_) {
  const bins = BIN_NAMES(pools[0].scores[key].length);
  const { series, format, unit } = compared(pools, (pool) => pool.scores[key]);
  const alt = pools.map((pool) => `${pools.length > 1 ? `${pool.name}: ` : ""}${plural(sum(pool.scores[key]), "task")}, half of them below ${decimal(pool.medians[key])}`).join("; ");
  return figure({
    title, note: `${note} ${known_}`, alt: `${alt}.`, legend: poolLegend(pools),
    draw: bars({ bins, series, format, x: "ROUGE-L F1", y: unit ? "share of tasks" : "tasks", edges: Array.from({ length: bins.length + 1 }, (_, place) => (place % 5 ? "" : (place / bins.length).toFixed(1))) }),
    columns: ["ROUGE-L F1", ...pools.map((pool) => (pools.length > 1 ? pool.name : "tasks"))],
    rows: () => bins.map((bin, place) => [bin.name, ...series.map((one) => format(one.values[place]))]).filter((_, place) => pools.some((pool) => pool.scores[key][place])),
  });
}

function novelty(pools) {
  const told = (key) => pools.map((pool) => {
    const of = sum(pool.scores[key]), all = pool.verbs.total;
    return all > of ? `${pools.length > 1 ? `${pool.name}: ` : ""}${number(of)} of ${number(all)} tasks, evenly spread. ` : "";
  }).join("");
  put("novelty", el("div", { class: "grid" },
    scores(pools, "pool", "To the nearest earlier instruction", "How much each accepted instruction has in common with the most similar earlier one, seeds included. A copy is at 1.", told("pool")),
    scores(pools, "seeds", "To the nearest seed", "The same, compared with the seeds alone. Instructions far to the left are unlike every seed.", told("seeds"))));
}

/** Bins of equal width for counts by value: at most 30 of them hold 99 % of each pool; the last one is open. */
function lengthBins(counts) {
  let limit = 0, most = 0;
  for (const pool of counts) {
    const all = sum(pool.map((one) => one[1]));
    let seen = 0;
    for (const [value, count] of pool) {
      if (seen < 0.99 * all) limit = Math.max(limit, value);
      most = Math.max(most, value);
      seen += count;
    }
  }
  const width = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20000, 100000].find((one) => limit / one < 30) || 1e6;
  const last = Math.floor(limit / width);
  const bins = Array.from({ length: last + 1 }, (_, place) => {
    const from = place * width, to = from + width - 1;
    const open = place === last && most > to;
    return { label: open ? `${from}+` : String(from), name: open ? `${from} words and more` : width === 1 ? plural(from, "word") : `${from} to ${to} words` };
  });
  const into = (counts_) => {
    const values = bins.map(() => 0);
    for (const [value, count] of counts_) values[Math.min(last, Math.floor(value / width))] += count;
    return values;
  };
  return { bins, into };
}

function middle(counts) {
  const all = sum(counts.map((one) => one[1]));
  let seen = 0;
  for (const [value, count] of counts) { seen += count; if (2 * seen >= all) return value; }
  return null;
}

function lengths(pools, key, title, note) {
  const { bins, into } = lengthBins(pools.map((pool) => pool.words[key]));
  const { series, format, unit } = compared(pools, (pool) => into(pool.words[key]));
  const alt = pools.map((pool) => (pool.words[key].length ? `${pools.length > 1 ? `${pool.name}: ` : ""}half of them have at most ${plural(middle(pool.words[key]), "word")}, the longest ${number(pool.words[key].at(-1)[0])}` : "none yet")).join("; ");
  return figure({
    title, note: `${note} ${pools.length > 1 ? alt : alt[0].toUpperCase() + alt.slice(1)}.`, alt: `${alt}.`, legend: poolLegend(pools), height: 200,
    draw: bars({ bins, series, format, x: "words", y: unit ? `share of ${key}` : key }),
    columns: ["words", ...pools.map((pool) => (pools.length > 1 ? pool.name : key))],
    rows: () => bins.map((bin, place) => [bin.name, ...series.map((one) => format(one.values[place]))]),
  });
}

const LANGUAGE_NAMES = (() => { try { return new Intl.DisplayNames(["en"], { type: "language" }); } catch { return { of: (code) => code }; } })();

function shape(pools) {
  put("shape", el("div", { class: "grid three" },
    lengths(pools, "instructions", "Length of instructions", "Generated instructions."),
    lengths(pools, "inputs", "Length of inputs", "Inputs that are not empty."),
    lengths(pools, "outputs", "Length of outputs", "Outputs of generated tasks.")),
  forEach(pools, (pool, name, side) => {
    const { mix, languages } = pool, style = sideStyle(side);
    const row = (what, count, all) => ({ cells: [what, count, share(count, all, 1)], part: count, style });
    const kinds = [
      row("classification", mix.classification, mix.tasks), row("generation", mix.tasks - mix.classification, mix.tasks),
    ];
    const inputs = [
      row("with input", mix.with_input, mix.tasks), row("some with, some without", mix.some_with_input, mix.tasks),
      row("without input", mix.tasks - mix.with_input - mix.some_with_input, mix.tasks),
    ];
    const instances = mix.instances.map(([value, count]) => row(plural(value, "instance"), count, mix.tasks));
    const spoken = (languages.counts || []).map(([code, count]) => row(LANGUAGE_NAMES.of(code), count, languages.sample));
    if (languages.counts && languages.unsure) spoken.push(row("others, or unsure", languages.unsure, languages.sample));
    const card = (title, rows, note) => el("div", { class: "card" }, el("h3", {}, titled(title, name)), note ? el("p", { class: "note" }, note) : null,
      rows.length ? gauges([title.toLowerCase(), "tasks", "share", ""], rows, "") : null);
    return el("div", { class: "grid" },
      card("Kind", kinds), card("Input", inputs), card("Instances a task", instances, instances.length ? "" : "No task is finished yet."),
      card("Language", spoken, languages.counts ? `By a quick detector, of ${plural(languages.sample, "instruction")} spread over the pool.` : 'Not detected: pip install "selfinstruct[languages]" adds the detector.'));
  }));
}

function lineage(pools, instructionOf) {
  const most = Math.max(0, ...pools.flatMap((pool) => pool.generations.map((one) => one[0])));
  const bins = Array.from({ length: most + 1 }, (_, place) => ({ label: String(place), name: `generation ${place}` })).slice(1);
  const { series, format, unit } = compared(pools, (pool) => bins.map((_, place) => (pool.generations.find((one) => one[0] === place + 1) || [0, 0])[1]));
  put("lineage",
    figure({
      title: "How deep the pool is", note: "A seed is generation 0; a task is one later than the latest of the tasks that its request showed.",
      alt: `Up to ${plural(most, "generation")}.`, legend: poolLegend(pools),
      draw: bars({ bins, series, format, x: "generation", y: unit ? "share of tasks" : "tasks" }),
      columns: ["generation", ...pools.map((pool) => (pools.length > 1 ? pool.name : "tasks"))],
      rows: () => bins.map((bin, place) => [bin.label, ...series.map((one) => format(one.values[place]))]),
    }),
    forEach(pools, (pool, name, side) => {
      const { fruitful, barren, shown, barren_count: none, median_shown: often } = pool.demonstrations;
      const row = (one) => [instructionOf(side, one.position), one.shown, one.bore, (one.bore / one.shown).toFixed(1)];
      const columns = ["task that was shown", "times shown", "accepted", "each time"];
      const card = (title, note, rows) => el("div", { class: "card" }, el("h3", {}, titled(title, name)), el("p", { class: "note" }, note),
        rows.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": titled(title, name) }, smallTable(columns, rows, "")) : null);
      return el("div", { class: "grid two" },
        card("Demonstrations with most accepted tasks", shown ? `Accepted tasks for each request that showed it, of those shown ${plural(often, "time")} or more.` : "None was shown yet.", fruitful.map(row)),
        card("Demonstrations without an accepted task", shown ? `${number(none)} of the ${number(shown)} tasks that were shown brought no accepted task.` : "None was shown yet.", barren.map(row)));
    }));
}

function pairs(pools, open) {
  put("pairs", el("p", { class: "note" }, "Accepted instructions with the earlier one that each resembles most; what both have in common, in this order, is marked. If they look the same to you, lower the threshold."),
    pools.filter((pool) => pool.unscored).map((pool) => el("p", { class: "note" }, `${pools.length > 1 ? `${pool.name}: not` : "Not"} among them can be ${plural(pool.unscored, "task")} for which no score is kept.`)),
    forEach(pools, (pool, name, side) => {
      const text = (pieces) => el("p", {}, pieces.map(([piece, isCommon]) => (isCommon ? el("mark", {}, piece) : piece)));
      const button = (position, label) => el("button", { type: "button", class: "link", click: () => open(side, position) }, label);
      return el("div", { class: "card" }, name ? el("h3", {}, name) : null, pool.pairs.length ? pool.pairs.map((pair) =>
        el("div", { class: "pair" }, el("div", {}, el("span", { class: "score" }, pair.score.toFixed(3)), " ", el("small", {}, "ROUGE-L")),
          el("div", {}, text(pair.this), button(pair.positions[0], `task ${pair.positions[0]}`)),
          el("div", {}, text(pair.that), button(pair.positions[1], pair.is_seed ? `seed ${pair.positions[1]}` : `task ${pair.positions[1]}`))))
        : el("p", {}, "There are none yet."));
    }));
}
