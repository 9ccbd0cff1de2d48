// A table of any number of rows. Only the rows in sight are elements of the page.

const SPARE = 6;

/**
 * The rows of one pool that a filter leaves. columns: [{name, of(row), style, isNumber, show(row)}], the first opens the
 * row; sort: the column that is sorted at first.
 */
class RowTable {
  constructor({ label, filter, side, columns, onOpen, sort = { column: null, down: false } }) {
    Object.assign(this, { filter, side, rows: filter.rows[side], columns, onOpen, sort });
    this.body = el("tbody", {});
    this.heads = columns.map((column, place) => el("th", { scope: "col", class: [column.style, column.isNumber ? "number" : ""].join(" ") },
      el("button", { type: "button", click: () => this.sortBy(place) }, column.name, el("span", { class: "arrow", "aria-hidden": "true" }))));
    this.table = el("table", { "aria-label": label }, el("thead", {}, el("tr", { "aria-rowindex": "1" }, this.heads)), this.body);
    this.node = el("div", { class: "rows", tabindex: "0", role: "region", "aria-label": `${label}, scrollable`, scroll: () => this.draw(), keydown: (event) => this.key(event) }, this.table);
    new ResizeObserver(() => this.draw()).observe(this.node);
    filter.tables.push(this);
    this.sorted();
  }

  get height() { return matchMedia("(max-width: 46rem)").matches ? 60 : 40; }

  sortBy(column) {
    this.sort = { column, down: this.sort.column === column ? !this.sort.down : Boolean(this.columns[column].isNumber) };
    this.sorted();
  }

  /** Sorts all rows, so that a filter only has to leave some out. */
  sorted() {
    const { column, down } = this.sort;
    this.heads.forEach((head, place) => {
      head.setAttribute("aria-sort", place === column ? (down ? "descending" : "ascending") : "none");
      head.querySelector(".arrow").textContent = place === column ? (down ? "▾" : "▴") : "";
    });
    this.all = this.rows.map((_, place) => place);
    if (column !== null) {
      const keys = this.rows.map(this.columns[column].of), turn = down ? -1 : 1;
      // Unknown values come last in both directions.
      this.all.sort((one, other) => {
        const a = keys[one], b = keys[other];
        if (!known(a) || !known(b)) return (known(b) ? 1 : 0) - (known(a) ? 1 : 0) || one - other;
        return (a < b ? -1 : a > b ? 1 : 0) * turn || one - other;
      });
    }
    this.arrange();
  }

  arrange() {
    const passes = this.filter.passes[this.side];
    this.order = this.all.filter((place) => passes[place]);
    this.node.scrollTop = 0;
    this.draw(true);
  }

  draw(always = false) {
    const height = this.height, all = this.order.length;
    const first = Math.max(0, Math.floor(this.node.scrollTop / height) - SPARE);
    const last = Math.min(all, first + Math.ceil((this.node.clientHeight || 600) / height) + 2 * SPARE);
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
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.height) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.order.length) return;
    event.preventDefault();
    const inside = this.body.contains(document.activeElement) && document.activeElement.dataset.at;
    const from = inside ? Number(document.activeElement.dataset.at) : Math.floor(this.node.scrollTop / this.height) - (step > 0 ? 1 : 0);
    const to = Math.max(0, Math.min(this.order.length - 1, from + step));
    const height = this.height, top = to * height, seen = this.node.clientHeight - 2 * height;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (top > this.node.scrollTop + seen) this.node.scrollTop = top - seen;
    this.draw();
    this.body.querySelector(`[data-at="${to}"]`)?.focus({ preventScroll: true });
  }
}
