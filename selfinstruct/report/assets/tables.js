// A table of any number of rows. Only the rows in sight are elements of the page.

const SPARE = 6;

/**
 * columns: [{name, of(row), style, isNumber, show(row)}], the first opens the row; filters: [{name, choices:
 * [[label, test]]}]; text(row): the text that is searched. `pick` returns the rows found.
 */
class RowTable {
  constructor({ id, label, rows, columns, filters, text, onOpen, sort }) {
    Object.assign(this, { rows, columns, filters, onOpen, sort: sort || { column: null, down: false } });
    this.texts = rows.map((row) => text(row).toLowerCase());
    this.extra = null;
    this.order = rows.map((_, place) => place);
    this.searched = el("input", { type: "search", id: `${id}-search`, autocomplete: "off", spellcheck: "false", input: () => this.narrow() });
    this.choosers = filters.map((filter, place) => el("select", { id: `${id}-filter-${place}`, change: () => this.narrow() },
      filter.choices.map(([name], choice) => el("option", { value: String(choice) }, name))));
    this.count = el("p", { class: "count", role: "status" });
    this.clear = el("button", { type: "button", class: "plain", click: () => this.reset() }, "Show all");
    this.body = el("tbody", {});
    this.heads = columns.map((column, place) => el("th", { scope: "col", class: [column.style, column.isNumber ? "number" : ""].join(" ") },
      el("button", { type: "button", click: () => this.sortBy(place) }, column.name, el("span", { class: "arrow", "aria-hidden": "true" }))));
    this.table = el("table", { "aria-label": label }, el("thead", {}, el("tr", { "aria-rowindex": "1" }, this.heads)), this.body);
    this.view = el("div", { class: "rows", tabindex: "0", role: "region", "aria-label": `${label}, scrollable`, scroll: () => this.draw(), keydown: (event) => this.key(event) }, this.table);
    this.node = el("div", { class: "card" },
      el("div", { class: "tools" },
        el("div", { class: "search" }, el("label", { for: `${id}-search` }, `Search ${label.toLowerCase()}`), this.searched),
        filters.map((filter, place) => el("div", {}, el("label", { for: `${id}-filter-${place}` }, filter.name), this.choosers[place])),
        this.clear),
      this.count, this.view);
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.narrow();
  }

  get height() { return matchMedia("(max-width: 46rem)").matches ? 60 : 40; }

  /** Show only rows that pass a test, besides search and filters; null removes the test. */
  pick(name, test) {
    this.extra = test ? { name, test } : null;
    this.narrow();
  }

  reset() {
    this.searched.value = "";
    for (const chooser of this.choosers) chooser.value = "0";
    this.pick(null, null);
  }

  narrow() {
    const wanted = this.searched.value.toLowerCase().trim();
    const tests = this.filters.map((filter, place) => filter.choices[Number(this.choosers[place].value)][1]).filter(Boolean);
    if (this.extra) tests.push(this.extra.test);
    this.order = [];
    for (let place = 0; place < this.rows.length; place++) {
      if (wanted && !this.texts[place].includes(wanted)) continue;
      if (tests.every((test) => test(this.rows[place]))) this.order.push(place);
    }
    this.count.textContent = `${number(this.order.length)} of ${number(this.rows.length)}${this.extra ? `, ${this.extra.name}` : ""}`;
    this.clear.hidden = this.order.length === this.rows.length;
    this.arrange();
  }

  sortBy(column) {
    this.sort = { column, down: this.sort.column === column ? !this.sort.down : Boolean(this.columns[column].isNumber) };
    this.arrange();
  }

  arrange() {
    const { column, down } = this.sort;
    this.heads.forEach((head, place) => {
      head.setAttribute("aria-sort", place === column ? (down ? "descending" : "ascending") : "none");
      head.querySelector(".arrow").textContent = place === column ? (down ? "▾" : "▴") : "";
    });
    if (column === null) this.order.sort((one, other) => one - other);
    else {
      const of = this.columns[column].of, keys = new Map(this.order.map((place) => [place, of(this.rows[place])]));
      // Unknown values come last in both directions.
      this.order.sort((one, other) => {
        const a = keys.get(one), b = keys.get(other);
        if (!known(a) || !known(b)) return (known(b) ? 1 : 0) - (known(a) ? 1 : 0) || one - other;
        return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1) || one - other;
      });
    }
    this.view.scrollTop = 0;
    this.draw(true);
  }

  draw(always = false) {
    const height = this.height, all = this.order.length;
    const first = Math.max(0, Math.floor(this.view.scrollTop / height) - SPARE);
    const last = Math.min(all, first + Math.ceil((this.view.clientHeight || 600) / height) + 2 * SPARE);
    if (!always && first === this.first && last === this.last && height === this.drawn) return;
    const focused = this.body.contains(document.activeElement) ? Number(document.activeElement.dataset.at) : null;
    Object.assign(this, { first, last, drawn: height });
    this.table.setAttribute("aria-rowcount", String(all + 1));
    const spacer = (rows) => {
      const cell = el("td", {});
      cell.style.height = `${rows * height}px`;
      return el("tr", { class: "spacer", "aria-hidden": "true" }, cell);
    };
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(at));
    if (!all) rows.push(el("tr", {}, el("td", {}, "Nothing here.")));
    this.body.replaceChildren(spacer(first), ...rows, spacer(all - last));
    if (focused !== null && !all) this.body.querySelector(`[data-at="${focused}"]`)?.focus({ preventScroll: true });
  }

  row(at) {
    const row = this.rows[this.order[at]];
    return el("tr", { class: "row", "aria-rowindex": String(at + 2) }, this.columns.map((column, place) => {
      const value = column.show ? column.show(row) : column.of(row);
      const text = !known(value) ? "" : typeof value === "number" ? number(value) : value;
      const style = [column.style, column.isNumber ? "number" : ""].join(" ");
      if (place) return el("td", { class: style }, text);
      return el("td", { class: style }, el("button", { type: "button", class: "open", "data-at": String(at), click: () => this.onOpen(row) }, text || "(empty)"));
    }));
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.view.clientHeight / this.height) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.order.length) return;
    event.preventDefault();
    const inside = this.body.contains(document.activeElement) && document.activeElement.dataset.at;
    const from = inside ? Number(document.activeElement.dataset.at) : Math.floor(this.view.scrollTop / this.height) - (step > 0 ? 1 : 0);
    const to = Math.max(0, Math.min(this.order.length - 1, from + step));
    const height = this.height, top = to * height, seen = this.view.clientHeight - 2 * height;
    if (top < this.view.scrollTop) this.view.scrollTop = top;
    else if (top > this.view.scrollTop + seen) this.view.scrollTop = top - seen;
    this.draw();
    this.body.querySelector(`[data-at="${to}"]`)?.focus({ preventScroll: true });
  }
}
