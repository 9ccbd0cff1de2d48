// What is shown of the rows of all pools: search, choices, and what was picked in a chart.

/**
 * rows: those of each pool; text(row): what is searched; filters: [{name, choices: [[label, test]]}]; isUsual(row): whether
 * a row counts in charts unless the first choice asks for others.
 */
class Filter {
  constructor({ id, label, rows, text, filters, isUsual = () => true }) {
    Object.assign(this, { rows, filters, isUsual, extra: null, tables: [] });
    this.text = (side) => (this.texts[side] ??= rows[side].map((row) => text(row).toLowerCase()));
    this.texts = [];
    this.searched = el("input", { type: "search", id: `${id}-search`, autocomplete: "off", spellcheck: "false", input: () => this.narrow() });
    this.choosers = filters.map((filter, place) => el("select", { id: `${id}-filter-${place}`, change: () => this.narrow() },
      filter.choices.map(([name], choice) => el("option", { value: String(choice) }, name))));
    this.count = el("p", { class: "count", role: "status" });
    this.clear = el("button", { type: "button", class: "plain", click: () => this.pick(null) }, "Show all");
    this.node = el("div", { class: "tools" },
      el("div", { class: "search" }, el("label", { for: `${id}-search` }, `Search ${label}`), this.searched),
      filters.map((filter, place) => el("div", {}, el("label", { for: `${id}-filter-${place}` }, filter.name), this.choosers[place])));
    this.foot = el("div", { class: "foot" }, this.count, this.clear);
    this.narrow();
  }

  /** Shows only rows that pass a test, or all. */
  pick(name, test) {
    this.searched.value = "";
    for (const chooser of this.choosers) chooser.value = "0";
    this.extra = name ? { name, test } : null;
    this.narrow();
  }

  narrow() {
    const wanted = this.searched.value.toLowerCase().trim();
    const tests = this.filters.map((filter, place) => filter.choices[Number(this.choosers[place].value)][1]).filter(Boolean);
    if (this.extra) tests.push(this.extra.test);
    this.isOn = Boolean(wanted || tests.length);
    this.passes = this.rows.map((rows, side) => {
      const passes = new Uint8Array(rows.length), texts = wanted ? this.text(side) : [];
      rows.forEach((row, place) => { passes[place] = (!wanted || texts[place].includes(wanted)) && tests.every((test) => test(row, side)); });
      return passes;
    });
    this.shown = this.rows.map((rows, side) => rows.filter((_, place) => this.passes[side][place]));
    const isAsked = this.choosers[0].value !== "0" || this.extra;
    this.counted = isAsked ? this.shown : this.shown.map((rows) => rows.filter(this.isUsual));
    const counts = this.rows.map((rows, side) => `${pools.length > 1 ? `${pools[side].name}: ` : ""}${number(this.shown[side].length)} of ${number(rows.length)}`);
    this.count.textContent = counts.join("; ") + (this.extra ? `, ${this.extra.name}` : "");
    this.clear.hidden = !this.isOn;
    for (const table of this.tables) table.arrange();
    refresh();
  }
}
