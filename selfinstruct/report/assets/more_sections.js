// Sections that only some pools have: the judge, conversations, preference pairs, and families of tasks.

const QUESTIONS = ["Is it a valid task?", "Is the input suitable?", "Is the output correct?"];
const VERDICTS = [
  ["passed", "passed at once", "accepted"], ["saved", "saved by a revision", "accepted"], ["revised", "first form replaced by a revision", "waiting"],
  ["judged_invalid", "no valid task", "rejected"], ["judged_input", "unsuitable input", "rejected"], ["judged_output", "wrong output", "rejected"], ["judge_unreadable", "no readable verdict", "rejected"],
];

/** Points of the rows that are left, what became of all that was judged, and how far people agree. */
function judge(tasks) {
  put("judge", forEach((pool, name, side) => {
    const found = pool.status.judge;
    if (!found) return null;
    const points = () => QUESTIONS.flatMap((row, question) => {
      const counts = [0, 0, 0, 0, 0, 0];
      for (const task of tasks.counted[side]) for (const one of task.instances) if (one.length > 3) counts[one[3 + question]] += 1;
      const all = sum(counts.slice(1));
      return [1, 2, 3, 4, 5].map((column) => ({ row, column, count: counts[column], label: counts[column] ? share(counts[column], all) : "", share: all ? counts[column] / all : 0, question, text: `${row} ${column} points: ${plural(counts[column], "row")}, ${share(counts[column], all, 1)}` }));
    });
    const outcomes = () => VERDICTS.filter(([key]) => found[key]).map(([key, label, series]) => ({ label, value: found[key] / found.judged, series, count: found[key], text: `${label}: ${number(found[key])}, ${share(found[key], found.judged, 1)}` }));
    return el("div", { class: "grid" },
      figure({
        title: titled("Points of the rows that were kept", name), room: 120, note: "From 1, certainly not, to 5, without any doubt. The darker, the larger the share of the rows. A click shows the tasks.", values: points, spec: shades("points", "accepted"),
        alt: (some) => `${some.filter((one) => one.share >= 0.2).map((one) => one.text).join("; ") || "none yet"}.`, columns: ["question", "points", "rows"], rows: (some) => some.map((one) => [one.row, one.column, one.count]),
        pick: (one) => { tasks.pick(`${one.row} ${one.column} points`, (row) => row.instances.some((instance) => instance[3 + one.question] === one.column)); go("tasks", side); },
      }),
      figure({
        title: titled("Verdicts", name), room: 120, note: `Of ${number(found.judged)} that were judged, in their first form. Those refused are among the rejections, each with the judge's reason.`, values: outcomes,
        spec: bars("share of what was judged", { percent: true, stack: true, names: ["accepted", "waiting", "rejected"], colours: ["accepted", "waiting", "rejected"] }),
        alt: (some) => `${some.map((one) => one.text).join("; ")}.`, columns: ["verdict", "instances"], rows: (some) => some.map((one) => [one.label, one.count]),
      }), agreement(pool, name));
  }));
}

/** How far people agree with the judge and with each other, by what they labelled. */
function agreement({ people }, name) {
  if (!people) return null;
  const kappa = (one) => (known(one.kappa) ? one.kappa.toFixed(2) : "not defined"), { agreement: all, by_question: questions, between_people: two } = people;
  const parts = () => [["both keep it", all.both_keep, "accepted"], ["both refuse it", all.neither_keeps, "accepted"], ["only the judge keeps it", all.only_judge_keeps, "rejected"], ["only people keep it", all.only_people_keep, "rejected"]]
    .map(([label, count, kind]) => ({ label, count, value: count / people.labels, series: kind === "accepted" ? "agree" : "differ", text: `${label}: ${number(count)}, ${share(count, people.labels, 1)}` }));
  const rows = [["all of it", people.labels, percent(all.accuracy), kappa(all)],
    ...Object.entries(questions).map(([key, one]) => [`question ${key}`, sum([one.both_keep, one.only_judge_keeps, one.only_people_keep, one.neither_keeps]), percent(one.accuracy), kappa(one)]),
    ...two.map((one) => [one.people.map((person) => person || "somebody unnamed").join(" and "), one.labels, percent(one.accuracy), kappa(one)])];
  return figure({
    title: titled("Judge and people", name), room: 160, note: `${plural(people.labels, "label")} of people. They agree on ${percent(all.accuracy)}; beyond chance that is a kappa of ${kappa(all)}, where 1 is always and 0 is by chance.`,
    values: parts, spec: bars("share of labels", { percent: true, stack: true, names: ["agree", "differ"], colours: ["accepted", "rejected"] }), alt: (some) => `${some.map((one) => one.text).join("; ")}.`,
    columns: ["of what", "labels", "same verdict", "kappa"], rows: () => rows,
  });
}

function conversations(tasks) {
  if (!pools.some((pool) => pool.status.conversations)) return;
  const turns = () => {
    const counts = tasks.counted.map((rows) => rows.flatMap((row) => row.instances.map((one) => one[2]))), most = Math.max(0, ...counts.flat());
    return counts.flatMap((list, side) => values(side, Array.from({ length: most + 1 }, (_, turn) => ({ label: `${turn} more`, count: list.filter((one) => one === turn).length })), list.length)
      .map((one) => ({ ...one, value: list.length ? one.count / list.length : 0 })));
  };
  const ended = () => pools.flatMap((pool, side) => {
    const found = pool.status.conversations;
    return found ? values(side, Object.entries(found.ended).map(([reason, count]) => ({ label: inWords(reason), count })), found.rows).map((one) => ({ ...one, value: one.count / found.rows })) : [];
  });
  put("conversations", el("div", { class: "grid" },
    figure({ title: "Turns after the first answer", room: 120, note: "Of each row, a question of the user with its answer.", values: turns, spec: bars("share of rows", { percent: true }), alt: (found) => `${found.map((one) => one.text).join("; ")}.`, columns: columnsOf("turns"), rows: (found) => numbers(found) }),
    figure({
      title: "Why they ended", room: 180, note: "“most”: there are as many turns as wanted; “closing”: the user had nothing left to say; others: what came next was refused, and all before it is kept.", values: ended,
      spec: bars("share of rows", { percent: true }), alt: (found) => `${found.map((one) => one.text).join("; ")}.`, columns: columnsOf("reason"), rows: (found) => numbers(found),
    })));
}

const RULES = {
  correction: "a person corrected it", person: "a person preferred one", revision: "the judge had it revised", sample: "the judge gave more points", agreement: "most answers say otherwise",
  strong: "a strong model's wrong answer", weak: "a weak model's wrong answer",
};

/** The pairs that an export has, by what says which is better, and some in full. */
function preference() {
  if (!pools.some((pool) => pool.preference)) return;
  const rules = () => pools.flatMap((pool, side) => values(side, (pool.preference?.rules || []).map(([rule, count]) => ({ label: RULES[rule] || rule, count })), sum((pool.preference?.rules || []).map((one) => one[1]))).map((one) => ({ ...one, value: one.count })));
  put("preference", figure({
    title: "What says which of two answers is better", room: 100, note: "One pair for each row that has one, as in the form “preference” of an export.", values: rules, spec: bars("pairs"),
    alt: (found) => `${found.map((one) => one.text).join("; ") || "none"}.`, columns: columnsOf("because"), rows: (found) => numbers(found),
  }), forEach((pool, name, side) => pool.preference && el("div", { class: "card" }, el("h3", {}, titled("Some pairs", name)), pool.preference.shown.map((one) => el("div", { class: "pair" },
    el("div", {}, el("small", {}, RULES[one.rule] || one.rule, known(one.margin) ? `, by ${decimal(one.margin, 1)}` : ""), el("br"), taskButton(side, one.position, `task ${one.position}`)),
    el("div", {}, el("small", { class: "better" }, "better"), el("p", {}, one.chosen)), el("div", {}, el("small", { class: "worse" }, "worse"), el("p", {}, one.rejected)))))));
}

const FAMILIES = 150;

/** Tasks that were made out of one other each, as trees: the largest families, a generation a column. */
function families(tasks) {
  put("lineage", forEach((pool, name, side) => {
    const { byPosition } = data[side];
    if (!data[side].tasks.some((row) => known(row.parent) && row.source !== "demonstrations")) return null;
    const tree = () => {
      const children = new Map(), isChild = (row) => known(row.parent) && byPosition.has(row.parent);
      for (const row of tasks.counted[side]) if (isChild(row)) children.set(row.parent, [...(children.get(row.parent) || []), row]);
      const size = (position) => 1 + sum((children.get(position) || []).map((row) => size(row.position)));
      const roots = [...children.keys()].filter((position) => !isChild(byPosition.get(position))).map((position) => [position, size(position)]).sort((one, other) => other[1] - one[1]);
      const points = [], lines = new Map();
      let next = 0;
      const place = (row, depth) => {
        const own = (children.get(row.position) || []).map((child) => place(child, depth + 1));
        const line = own.length ? (own[0] + own.at(-1)) / 2 : next++;
        lines.set(row.position, line);
        points.push({ depth, line, row, series: row.state === "seed" ? "seed" : "accepted", text: `${row.state === "seed" ? "seed" : "task"} ${row.position}: ${row.instruction.slice(0, 160)}` });
        return line;
      };
      for (const [position, many] of roots) {
        if (points.length && points.length + many > FAMILIES) break;
        place(byPosition.get(position), 0);
      }
      return points.map(({ row, ...point }) => ({ ...point, position: row.position, from: Math.max(0, point.depth - 1), fromLine: point.depth ? lines.get(row.parent) : point.line }));
    };
    const across = { type: "quantitative", title: "generations since the seed", axis: { tickMinStep: 1, grid: false } };
    const spec = () => ({
      height: 420,
      encoding: { x: { field: "from", ...across }, y: { field: "fromLine", type: "quantitative", axis: null, scale: { reverse: true, zero: false } } },
      layer: [
        { mark: "rule", encoding: { x2: { field: "depth" }, y2: { field: "line" } } },
        { mark: { type: "point", filled: true, size: 70, opacity: 1, cursor: "pointer" }, encoding: { x: { field: "depth", ...across }, y: { field: "line", type: "quantitative" }, color: coloured(["seed", "accepted"], ["seed", "accepted"]), tooltip: TIP } },
      ],
    });
    return figure({
      title: titled("Families", name), wide: true, room: 490, values: tree, spec, pick: (one) => openTask(side, byPosition.get(one.position)),
      note: `The largest families of tasks that were made out of one other, up to ${FAMILIES} tasks. A point opens its task.`, alt: (found) => `${plural(found.filter((one) => !one.depth).length, "family", "families")} of ${plural(found.length, "task")}.`,
      columns: ["task", "generations since the seed"], rows: (found) => found.map((one) => [taskButton(side, one.position), one.depth]),
    });
  }));
}
