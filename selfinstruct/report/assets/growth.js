// How a pool grew: what became of instructions by round, the monitor, sources and quotas, rejections, and the cost.

const inWords = (reason) => reason.replaceAll("_", " ");
const windowAt = ({ width, rounds }, place) => {
  const from = place * width, to = Math.min(from + width, rounds) - 1;
  return { at: from, name: from === to ? `round ${from}` : `rounds ${from} to ${to}` };
};

function growth() {
  const names = pools.map((pool) => pool.name);
  const over = (make) => () => pools.flatMap((pool) => pool.growth.accepted.map((accepted, place) => {
    const window = windowAt(pool.growth, place), value = make(accepted, pool.growth.rejected[place]);
    return { ...window, value, series: pool.name, accepted, rejected: pool.growth.rejected[place], waiting: pool.growth.waiting[place], text: `${window.name}: ${number(accepted)} accepted, ${number(pool.growth.rejected[place])} rejected${compares() ? ` of ${pool.name}` : ""}` };
  }));
  const columns = [...(compares() ? ["pool"] : []), "rounds", "accepted", "rejected", "waiting"];
  const rows = (found) => found.map((one) => [...(compares() ? [one.series] : []), one.name, one.accepted, one.rejected, one.waiting]);
  put("growth", el("div", { class: "grid" },
    figure({
      title: "Accepted by round", note: `Instructions that joined the pool, in windows of ${pools.map((pool) => plural(pool.growth.width, "round")).join(" and ")}.`,
      values: over((accepted) => accepted), spec: lines("round", "accepted", { names, colours: SIDES }), alt: (found) => `${plural(sum(found.map((one) => one.accepted)), "instruction")} accepted.`, columns, rows,
    }),
    figure({
      title: "Acceptance rate", note: "Accepted of all instructions decided. When it falls, the model repeats itself or what is left is hard to add to.",
      values: over((accepted, refused) => (accepted + refused ? accepted / (accepted + refused) : null)), spec: lines("round", "accepted of decided", { names, colours: SIDES, percent: true }),
      alt: (found) => { const rated = found.filter((one) => known(one.value)); return rated.length ? `From ${percent(rated[0].value)} at first to ${percent(rated.at(-1).value)} at last.` : "Nothing was decided yet."; }, columns, rows,
    })), forEach(monitor));
}

const WATCHED = { acceptance: "acceptance", nearest: "nearest ROUGE-L", openings: "ten openings", new_pairs: "new verb-noun pairs" };
const KEPT = [["distinct_1", "distinct-1"], ["distinct_2", "distinct-2"], ["compression_ratio", "compression ratio"], ["verb_noun_entropy", "verb-noun entropy"], ["vendi_score", "Vendi score"]];

/** The figures of the diversity monitor, by its own windows of rounds. */
function monitor(pool, name) {
  if (!pool.windows.length) return null;
  const shares = ["acceptance", "nearest", "openings"], called = (one) => `rounds ${one.first_round} to ${one.last_round}`;
  const warnings = pool.windows.flatMap((one) => one.warnings.map((warning) => `${called(one)}: ${WATCHED[warning] || warning}`));
  const warned = warnings.length ? `Beyond their bounds: ${warnings.slice(0, 6).join("; ")}${warnings.length > 6 ? ` and ${number(warnings.length - 6)} more` : ""}.` : "Nothing went beyond its bounds.";
  const columns = ["rounds", ...shares.map((key) => WATCHED[key]), "new pairs", ...KEPT.map(([, name]) => name), "beyond bounds", "steering"];
  const rows = () => pool.windows.map((one) => [called(one), ...shares.map((key) => (known(one[key]) ? percent(one[key], 1) : "none")), one.new_pairs,
    ...KEPT.map(([key]) => (known(one[key]) ? one[key].toFixed(2) : "")), one.warnings.map((warning) => WATCHED[warning] || warning).join(", "), one.level]);
  const over = (keys, told) => () => keys.flatMap((key) => pool.windows.map((one) => ({ at: one.first_round, value: one[key], series: WATCHED[key], text: `${called(one)}: ${told(one[key])} ${WATCHED[key]}` })));
  return el("div", { class: "grid" },
    figure({
      title: titled("What the diversity monitor watches", name), note: `A model that repeats itself is accepted less, comes nearer to what is there, and begins alike. ${warned}`, alt: () => warned,
      values: over(shares, (value) => (known(value) ? percent(value) : "no")), columns, rows,
      spec: lines("first round of the window", "share", { names: shares.map((key) => WATCHED[key]), colours: ["accepted", "likeness", "openings"], percent: true }),
    }),
    figure({
      title: titled("New pairs of verb and noun", name), note: "In each window of the monitor: pairs that no seed and no earlier window had.", alt: () => `${number(sum(pool.windows.map((one) => one.new_pairs)))} in all.`,
      values: over(["new_pairs"], number), spec: lines("first round of the window", "new pairs", { names: [WATCHED.new_pairs], colours: ["accepted"] }), columns, rows,
    }));
}

const MOST_REASONS = 12;

/** Reasons in words, how often each was given, and when; of the rows that are left where a filter is on. */
function rejected(rejections) {
  put("rejected", forEach((pool, name, side) => {
    const { growth: { accepted, width }, reasons } = pool;
    const found = () => {
      if (!rejections.isOn) return reasons.map((one) => ({ ...one, windows: new Map(one.windows) }));
      const groups = new Map(reasons.map((one) => [`${one.kind} ${one.reason}`, { ...one, count: 0, windows: new Map() }]));
      for (const row of rejections.shown[side]) {
        const group = groups.get(`${row.kind} ${row.reason}`), window = Math.floor((row.round || 0) / width);
        group.count += 1;
        group.windows.set(window, (group.windows.get(window) || 0) + 1);
      }
      return [...groups.values()].filter((one) => one.count).sort((one, other) => other.count - one.count);
    };
    const counted = () => {
      const some = found().slice(0, MOST_REASONS), all = accepted.map((_, place) => sum(some.map((one) => one.windows.get(place) || 0)));
      return some.flatMap((one) => accepted.map((_, place) => {
        const count = one.windows.get(place) || 0, window = windowAt(pool.growth, place);
        return { row: inWords(one.reason) + (some.some((other) => other !== one && other.reason === one.reason) ? ` (${one.kind})` : ""), column: window.at, share: all[place] ? count / all[place] : 0, count, reason: one, label: "", text: `${window.name}: ${number(count)} × ${inWords(one.reason)}, ${share(count, all[place])}. ${one.meaning}` };
      }));
    };
    const choose = (one) => { rejections.pick(`${one.kind}: ${inWords(one.reason)}`, (row) => row.reason === one.reason && row.kind === one.kind); go("rejections", side); };
    const total = sum(reasons.map((one) => one.count));
    return [
      figure({
        title: titled("Reasons over the rounds", name), wide: true, values: counted, spec: shades("first round of the window", "rejected"), pick: (one) => choose(one.reason), columns: ["reason", "of", "rejections"],
        note: total ? `The darker, the larger its share of what these ${MOST_REASONS} reasons refused in that window. A click shows the rejections.` : "Nothing was rejected.",
        alt: () => found().slice(0, 3).map((one) => `${inWords(one.reason)} ${number(one.count)}`).join(", ") || "No rejections.",
        rows: () => found().map((one) => [inWords(one.reason), one.kind, one.count]),
      }),
      total ? el("div", { class: "card" }, el("h3", {}, titled("All reasons", name)), scrolled(titled("All reasons", name),
        smallTable(["reason", "of", "rejections", "share"], reasons.map((one) => [el("span", {}, el("button", { type: "button", class: "link", click: () => choose(one) }, inWords(one.reason)), el("span", { class: "dim" }, ` ${one.meaning}`)), one.kind, one.count, share(one.count, total, 1)]), ""))) : null,
    ];
  }));
}

function cost() {
  put("cost", forEach((pool, name) => {
    const { status: { usage, usd }, tasks } = pool;
    const rows = usage.map((one) => [one.stage, one.model, one.requests, one.prompt_tokens, one.completion_tokens, one.cached_tokens,
      tasks ? number((one.prompt_tokens + one.completion_tokens) / tasks) : "", one.usd ? dollars(one.usd) : "none", one.usd && tasks ? dollars(one.usd / tasks) : ""]);
    const note = usage.length ? `${plural(tasks, "finished task")}${usd ? `, ${dollars(usd)} in all` : "; no price is known, or nothing was paid"}. A lost attempt counts with the most it can have cost.` : "Nothing was asked yet.";
    return el("div", { class: "card" }, el("h3", {}, titled("By stage and model", name)), el("p", { class: "note" }, note),
      rows.length ? scrolled(titled("Tokens and cost by stage and model", name),
        smallTable(["stage", "model", "requests", "prompt tokens", "completion tokens", "from cache", "tokens a finished task", "cost", "cost a finished task"], rows, titled("Tokens and cost", name))) : null);
  }));
}

const OUTCOMES = ["accepted", "refused or waiting"];

/** What each source brought, side by side, and how far quotas are met. */
function sources(tasks) {
  put("sources", forEach((pool, name) => {
    const found = pool.status.sources;
    if (!found.length) return null;
    const rows = found.map((one) => [one.name, one.requests, one.candidates, one.accepted, one.tasks, one.rows, share(one.accepted, one.candidates),
      decimal(one.mean_nearest), decimal(one.mean_output_score, 1), one.rows && known(one.tokens) ? number(one.tokens / one.rows) : "", one.rows && one.usd ? dollars(one.usd / one.rows) : ""]);
    const columns = ["source", "requests", "candidates", "accepted", "with a row", "rows", "accepted of candidates", "mean ROUGE-L to the nearest", "judge's mean score of outputs", "tokens a row", "cost a row"];
    const outcome = () => found.flatMap((one) => [one.accepted, one.candidates - one.accepted].map((value, order) => ({ label: one.name, value, order, series: OUTCOMES[order], text: `${one.name}: ${number(value)} ${OUTCOMES[order]}, ${share(value, one.candidates)}` })));
    return figure({
      title: titled("What became of the candidates of each source", name), wide: true, values: outcome, spec: bars("share of candidates", { percent: true, stack: "normalize", names: OUTCOMES, colours: ["accepted", "rejected"] }),
      alt: (parts) => `${parts.map((one) => one.text).join("; ")}.`, columns, rows: () => rows,
    });
  }),
  [...new Set(pools.flatMap((pool, side) => data[side].tasks.flatMap((row) => Object.keys(row.drawn || {}))))].map((list) =>
    kinds(tasks, `Drawn: ${list}`, (row) => row.drawn?.[list] ?? "nothing", "A click shows the tasks.")),
  forEach((pool, name) => {
    const found = pool.status.quotas;
    if (!found) return null;
    const lists = Object.keys(found[0].drawn), met = found.filter((one) => one.accepted >= one.wanted).length;
    const QUOTA = ["accepted", "lacking"];
    const parts = () => found.slice(0, 40).flatMap((one) => {
      const label = lists.map((list) => one.drawn[list]).join(", ");
      return [Math.min(one.accepted, one.wanted), Math.max(0, one.wanted - one.accepted)].map((value, order) => ({ label, value, order, series: QUOTA[order], text: `${label}: ${number(one.accepted)} of ${number(one.wanted)}` }));
    });
    return figure({
      title: titled("Quotas", name), wide: true, note: `${number(met)} of ${number(found.length)} are met${found.length > 40 ? "; the first 40 are shown" : ""}.`, values: parts,
      spec: bars("share of what is wanted", { percent: true, stack: "normalize", names: QUOTA, colours: ["accepted", "waiting"] }), alt: () => `${number(met)} of ${number(found.length)} are met.`,
      columns: [...lists, "wanted", "accepted", "with a row"], rows: () => found.map((one) => [...lists.map((list) => one.drawn[list]), one.wanted, one.accepted, one.tasks]),
    });
  }));
}
