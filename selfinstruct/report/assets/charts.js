// Charts of bars and lines. Each is one image with a text for readers, moves through its values by the arrow keys, and
// has its numbers in a table below.

const LEFT = 52, RIGHT = 10, TOP = 12, BOTTOM = 42;

/** Values for an axis from 0 to `most`; whole numbers for counts. */
function ticks(most, isCount, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const rough = Math.max(most / wanted, isCount ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, place) => place * step);
}

/**
 * A figure: title, note, plot, legend and table. `draw(plot, width)` puts its nodes into an SVG and returns its marks
 * as {x, y, text, node}, in reading order.
 */
function figure({ title, note, alt, height = 230, draw, legend = [], columns, rows, wide = false }) {
  const tip = el("div", { class: "tip", role: "status" });
  const plot = el("div", { class: "plot" });
  let marks = [], active = -1, width = 0;

  const show = (place) => {
    if (active >= 0) marks[active]?.node.classList.remove("active");
    active = place;
    const mark = marks[place];
    tip.textContent = mark ? mark.text : "";
    if (!mark) return;
    mark.node.classList.add("active");
    tip.style.left = `${Math.max(0, Math.min(mark.x, width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, mark.y - tip.offsetHeight - 6)}px`;
  };
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") show(-1);
    if (!step || !marks.length) return;
    event.preventDefault();
    show(Math.max(0, Math.min(marks.length - 1, active + step)));
  };
  const point = (event) => {
    const box = image.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const there = marks.filter((mark) => x >= mark.left && x < mark.right && (mark.top === undefined || (y >= mark.top && y < mark.bottom)));
    // Of lines above each other, the one nearest to the pointer is shown.
    const place = marks.indexOf(there.sort((one, other) => Math.abs(one.y - y) - Math.abs(other.y - y))[0]);
    if (place !== active) show(place);
  };
  const image = svg("svg", {
    role: "img", "aria-label": `${title}. ${alt} Arrow keys go from value to value.`, tabindex: "0", height,
    keydown: keys, pointermove: point, pointerdown: point, pointerleave: () => show(-1), blur: () => show(-1),
  });
  plot.append(image, tip);

  const redraw = () => {
    width = plot.clientWidth;
    if (!width) return;
    active = -1;
    tip.textContent = "";
    image.replaceChildren();
    image.setAttribute("viewBox", `0 0 ${width} ${height}`);
    marks = draw(image, width, height);
  };
  new ResizeObserver(() => { if (plot.clientWidth !== width) redraw(); }).observe(plot);

  const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers of: ${title}` });
  const numbers = el("details", { toggle: () => { if (numbers.open) table.replaceChildren(smallTable(columns, rows(), title)); } },
    el("summary", {}, "The numbers"), table);
  return el("figure", { class: `card${wide ? " wide" : ""}` },
    el("figcaption", {}, el("h3", {}, title), el("p", { class: "note" }, note)),
    plot, legend.length ? el("ul", { class: "legend" }, legend.map((item) => el("li", {}, legendItem(item, redraw)))) : null, numbers);
}

function legendItem(item, redraw) {
  const swatch = el("span", { class: `swatch ${item.style}`, "aria-hidden": "true" });
  if (!item.toggle) return el("span", {}, swatch, item.name);
  const button = el("button", { type: "button", "aria-pressed": "true", click: () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    item.toggle(on);
    redraw();
  } }, swatch, item.name);
  return button;
}

function axes(image, width, height, { most, format, x, y }) {
  const inner = height - TOP - BOTTOM;
  const at = ticks(most, format === number);
  const top = at[at.length - 1];
  const scale = (value) => TOP + inner - (inner * value) / top;
  for (const value of at) {
    image.append(svg("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: scale(value), y2: scale(value) }));
    image.append(svg("text", { x: LEFT - 6, y: scale(value) + 4, "text-anchor": "end" }, format(value)));
  }
  image.append(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: scale(0), y2: scale(0) }));
  image.append(svg("text", { x: (LEFT + width - RIGHT) / 2, y: height - 6, "text-anchor": "middle" }, x));
  image.append(svg("text", { transform: `translate(12 ${TOP + inner / 2}) rotate(-90)`, "text-anchor": "middle" }, y));
  return scale;
}

/** Labels below the axis, in the middle of bins or at their edges; where there is no room, only some. */
function below(image, width, height, labels, edges) {
  const each = (width - LEFT - RIGHT) / Math.max(1, labels.length - (edges ? 1 : 0));
  const room = Math.max(...labels.map((label) => label.length), 1) * 7.2 + 10;
  const every = Math.max(1, labels.findIndex((label, place) => label !== "" && place > 0));
  const step = every * Math.max(1, Math.ceil(room / (each * every)));
  labels.forEach((label, place) => {
    if (place % step || label === "") return;
    const x = LEFT + each * (place + (edges ? 0 : 0.5));
    image.append(svg("text", { x, y: height - BOTTOM + 16, "text-anchor": "middle" }, label));
  });
}

/**
 * Bars over bins, side by side or `stacked`.
 * bins: [{label, name}]; series: [{name, style, values, hidden}]; edges: labels at the edges instead of below bins;
 * least: the lowest end of the axis, so that two charts have the same axis.
 */
function bars({ bins, series, stacked = false, x, y, format = number, edges = null, least = 0 }) {
  return (image, width, height) => {
    const shown = series.filter((one) => !one.hidden);
    const heights = bins.map((_, bin) => shown.map((one) => one.values[bin]));
    const most = Math.max(least, ...heights.map((values) => (stacked ? sum(values) : Math.max(0, ...values))));
    const scale = axes(image, width, height, { most, format, x, y });
    const each = (width - LEFT - RIGHT) / Math.max(1, bins.length);
    const gap = each > 6 ? 1 : 0;
    const marks = [];
    bins.forEach((bin, place) => {
      let from = 0;
      shown.forEach((one, order) => {
        const value = one.values[place];
        const base = stacked ? from : 0;
        from += value;
        const left = LEFT + each * place, broad = stacked ? each : each / shown.length;
        const at = left + (stacked ? 0 : broad * order);
        const node = svg("rect", {
          class: `bar ${one.style}`, x: at + gap / 2, width: Math.max(0.5, broad - gap),
          y: scale(base + value), height: Math.max(0, scale(base) - scale(base + value)),
        });
        image.append(node);
        if (!value && (stacked || shown.length > 1)) return;
        const text = `${bin.name}: ${format(value)}${series.length > 1 ? ` ${one.name}` : ""}`;
        const mark = { x: at, y: scale(base + value), left: at, right: at + broad, text, node };
        marks.push(stacked ? { ...mark, top: scale(base + value), bottom: scale(base) } : mark);
      });
    });
    below(image, width, height, edges || bins.map((bin) => bin.label), Boolean(edges));
    return marks;
  };
}

/** Lines over bins; an unknown value leaves a gap. */
function lines({ bins, series, x, y, most, format }) {
  return (image, width, height) => {
    const scale = axes(image, width, height, { most, format, x, y });
    const each = (width - LEFT - RIGHT) / Math.max(1, bins.length);
    const marks = [];
    for (const one of series) {
      let path = "", pen = "M";
      one.values.forEach((value, place) => {
        if (!known(value)) { pen = "M"; return; }
        const left = LEFT + each * place, at = left + each / 2;
        path += `${pen}${at.toFixed(1)} ${scale(value).toFixed(1)}`;
        pen = "L";
        const node = svg("circle", { class: one.style, cx: at, cy: scale(value), r: each > 12 ? 3.5 : 2 });
        const text = `${bins[place].name}: ${format(value)}${series.length > 1 ? ` ${one.name}` : ""}`;
        marks.push({ x: at, y: scale(value), left, right: left + each, text, node });
      });
      image.append(svg("path", { class: `line ${one.style}`, d: path }));
    }
    image.append(...marks.map((mark) => mark.node));
    below(image, width, height, bins.map((bin) => bin.label), false);
    return marks;
  };
}
