// The growth of a pool: accepted and rejected instructions by round, the monitor, and the cost.

function windowBins(growth) {
  return growth.accepted.map((_, place) => {
    const from = place * growth.width, to = Math.min(from + growth.width, growth.rounds) - 1;
    return { label: String(from), name: from === to ? `round ${from}` : `rounds ${from} to ${to}` };
  });
}

function growth(pools) {
  const isAlike = pools.every((pool) => pool.growth.width === pools[0].growth.width);
  const most = isAlike ? Math.max(0, ...pools.flatMap((pool) => pool.growth.accepted)) : 0;
  put("growth", forEach(pools, (pool, name, side) => {
    const bins = windowBins(pool.growth), { accepted, rejected, width, rounds } = pool.growth;
    const rate = accepted.map((count, place) => (count + rejected[place] ? (100 * count) / (count + rejected[place]) : null));
    const each = width > 1 ? `${width} rounds each` : "one round each";
    const rated = rate.filter(known);
    return [el("div", { class: "grid" },
      figure({
        title: titled("Accepted by round", name), note: `Instructions that joined the pool, in windows of ${each}.`,
        alt: `${plural(sum(accepted), "instruction")} accepted in ${plural(rounds, "round")}.`,
        draw: bars({ bins, series: [{ name: "accepted", style: sideStyle(side), values: accepted }], x: "round", y: "accepted", least: most }),
        columns: ["rounds", "accepted", "rejected", "waiting"],
        rows: () => bins.map((bin, place) => [bin.name, accepted[place], rejected[place], pool.growth.waiting[place]]),
      }),
      figure({
        title: titled("Acceptance rate", name), note: "Accepted of all instructions decided. When it falls, the model repeats itself or what is left is hard to add to.",
        alt: rated.length ? `From ${rated[0].toFixed(0)}% at first to ${rated.at(-1).toFixed(0)}% at last.` : "Nothing was decided yet.",
        draw: lines({ bins, series: [{ name: "acceptance", style: sideStyle(side), values: rate }], x: "round", y: "accepted of decided", most: 100, format: (value) => `${value.toFixed(0)}%` }),
        columns: ["rounds", "acceptance"],
        rows: () => bins.map((bin, place) => [bin.name, known(rate[place]) ? `${rate[place].toFixed(1)}%` : "none decided"]),
      })), monitor(pool, name, side)];
  }));
}

const WATCHED = { acceptance: "acceptance", nearest: "nearest ROUGE-L", openings: "ten openings", new_pairs: "new verb-noun pairs" };
const VARIED = [["distinct_1", "distinct-1"], ["distinct_2", "distinct-2"], ["compression_ratio", "compression ratio"], ["verb_noun_entropy", "verb-noun entropy"], ["vendi_score", "Vendi score"]];

/** The figures of the diversity monitor, by its own windows of rounds. */
function monitor(pool, name, side) {
  if (!pool.windows.length) return null;
  const bins = pool.windows.map((one) => ({ label: String(one.first_round), name: `rounds ${one.first_round} to ${one.last_round}` }));
  const series = ["acceptance", "nearest", "openings"].map((key, place) => ({ name: WATCHED[key], style: `f-${place}`, values: pool.windows.map((one) => (known(one[key]) ? 100 * one[key] : null)) }));
  const warnings = pool.windows.flatMap((one, place) => one.warnings.map((warning) => `${bins[place].name}: ${WATCHED[warning] || warning}`));
  const warned = warnings.length ? `Beyond their bounds: ${warnings.slice(0, 6).join("; ")}${warnings.length > 6 ? ` and ${number(warnings.length - 6)} more` : ""}.` : "Nothing went beyond its bounds.";
  const percent = (value) => `${value.toFixed(0)}%`;
  const rows = () => pool.windows.map((one, place) => [bins[place].name, ...series.map((line) => (known(line.values[place]) ? `${line.values[place].toFixed(1)}%` : "none")), one.new_pairs, ...VARIED.map(([key]) => (known(one[key]) ? one[key].toFixed(2) : "")), one.warnings.map((warning) => WATCHED[warning] || warning).join(", "), one.level]);
  const columns = ["rounds", ...series.map((one) => one.name), "new pairs", ...VARIED.map(([, name]) => name), "beyond bounds", "steering"];
  return el("div", { class: "grid" },
    figure({
      title: titled("What the diversity monitor watches", name), note: `A model that repeats itself is accepted less, comes nearer to what is there, and begins alike. ${warned}`, alt: warned,
      legend: series, draw: lines({ bins, series, x: "first round of the window", y: "share", most: 100, format: percent }), columns, rows,
    }),
    figure({
      title: titled("New pairs of verb and noun", name), note: "In each window of the monitor: pairs that no seed and no earlier window had.", alt: `${number(sum(pool.windows.map((one) => one.new_pairs)))} in all.`,
      draw: bars({ bins, series: [{ name: "new pairs", style: sideStyle(side), values: pool.windows.map((one) => one.new_pairs) }], x: "first round of the window", y: "new pairs" }), columns, rows,
    }));
}

const MOST_REASONS = 8;

function rejected(pools) {
  put("rejected", forEach(pools, (pool, name) => {
    const bins = windowBins(pool.growth);
    const total = sum(pool.reasons.map((one) => one.count));
    const byReason = new Map();
    for (const one of pool.reasons) {
      const entry = byReason.get(one.reason) || { name: one.reason.replaceAll("_", " "), count: 0, values: bins.map(() => 0), hidden: false };
      entry.count += one.count;
      for (const [place, count] of one.windows) entry.values[place] += count;
      byReason.set(one.reason, entry);
    }
    const sorted = [...byReason.values()].sort((one, other) => other.count - one.count);
    const series = sorted.slice(0, MOST_REASONS).map((one, place) => ({ ...one, style: `f-${place}` }));
    const rest = sorted.slice(MOST_REASONS);
    if (rest.length) series.push({ name: `${plural(rest.length, "other reason")}`, style: "f-other", hidden: false, count: sum(rest.map((one) => one.count)), values: bins.map((_, place) => sum(rest.map((one) => one.values[place]))) });
    return [
      figure({
        title: titled("Rejections by reason over rounds", name), wide: true, height: 260,
        note: total ? `${plural(total, "rejection")} of instructions and instances. A reason can be taken out of the figure by its button.` : "Nothing was rejected.",
        alt: sorted.slice(0, 3).map((one) => `${one.name} ${share(one.count, total)}`).join(", ") || "No rejections.",
        legend: series.map((one) => ({ name: `${one.name} ${number(one.count)}`, style: one.style, toggle: (on) => { one.hidden = !on; } })),
        draw: bars({ bins, series, stacked: true, x: "round", y: "rejections" }),
        columns: ["rounds", ...series.map((one) => one.name)],
        rows: () => bins.map((bin, place) => [bin.name, ...series.map((one) => one.values[place])]),
      }),
      pool.reasons.length ? el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": titled("Reasons", name) },
        gauges(["reason", "of", "rejections", ""], pool.reasons.map((one) => ({ cells: [one.reason, one.kind, one.count], part: one.count, style: "f-other" })), titled("All reasons", name))) : null,
    ];
  }));
}

function cost(pools) {
  put("cost", forEach(pools, (pool, name, side) => {
    const { usage, tasks, usd } = pool.status;
    const rows = usage.map((one) => ({
      cells: [one.stage, one.model, one.requests, one.prompt_tokens, one.completion_tokens, one.cached_tokens,
        tasks ? number((one.prompt_tokens + one.completion_tokens) / tasks) : "", one.usd ? dollars(one.usd) : "none",
        one.usd && tasks ? dollars(one.usd / tasks) : ""],
      part: one.prompt_tokens + one.completion_tokens, style: sideStyle(side),
    }));
    const note = usage.length ? `${plural(tasks, "finished task")}${usd ? `, ${dollars(usd)} in all` : "; no price is known, or nothing was paid"}. A lost attempt counts with the most it can have cost.` : "Nothing was asked yet.";
    const byStage = el("div", { class: "card" }, el("h3", {}, titled("By stage and model", name)), el("p", { class: "note" }, note),
      rows.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": titled("Tokens and cost by stage and model", name) },
        gauges(["stage", "model", "requests", "prompt tokens", "completion tokens", "from cache", "tokens a finished task", "cost", "cost a finished task", "tokens"], rows, titled("Tokens and cost", name))) : null);
    return [byStage, bySource(pool, name, side), quotas(pool, name, side)];
  }));
}

/** What each source brought, side by side; nothing where there is one alone. */
function bySource(pool, name, side) {
  const found = pool.status.sources;
  if (!found.length) return null;
  const rows = found.map((one) => ({
    cells: [one.name, one.requests, one.candidates, one.accepted, one.tasks, one.rows, share(one.accepted, one.candidates),
      decimal(one.mean_nearest), decimal(one.mean_output_score, 1), one.rows && known(one.tokens) ? number(one.tokens / one.rows) : "",
      one.rows && one.usd ? dollars(one.usd / one.rows) : ""],
    part: one.rows, style: sideStyle(side),
  }));
  return el("div", { class: "card" }, el("h3", {}, titled("By source", name)),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": titled("Figures of each source", name) },
      gauges(["source", "requests", "candidates", "accepted", "with a row", "rows", "accepted of candidates", "mean ROUGE-L to the nearest", "judge's mean score of outputs", "tokens a row", "cost a row", "rows"], rows, titled("Sources", name))));
}

function quotas(pool, name, side) {
  const found = pool.status.quotas;
  if (!found) return null;
  const lists = Object.keys(found[0].drawn);
  const rows = found.map((one) => ({ cells: [...lists.map((list) => one.drawn[list]), one.wanted, one.accepted, one.tasks], part: one.accepted, style: sideStyle(side) }));
  const met = found.filter((one) => one.accepted >= one.wanted).length;
  return el("div", { class: "card" }, el("h3", {}, titled("Quotas", name)), el("p", { class: "note" }, `${number(met)} of ${number(found.length)} are met.`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": titled("Quotas", name) },
      gauges([...lists, "wanted", "accepted", "with a row", "accepted"], rows, titled("Tasks of each combination", name))));
}
