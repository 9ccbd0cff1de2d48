// Charts by Vega-Lite. Each is drawn when it comes into sight, says in a text what it shows, and has its numbers in a
// table below. What a chart shows are values, never parts of its specification: a model's text is in values alone.

const charts = [];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const look = () => ({
  aria: false, background: "transparent", font: getComputedStyle(document.body).fontFamily, view: { stroke: null },
  axis: {
    labelColor: colour("soft"), titleColor: colour("soft"), gridColor: colour("grid"), domainColor: colour("line"), tickColor: colour("line"),
    labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelLimit: innerWidth < 700 ? 120 : 180, labelOverlap: true,
  },
  axisBand: { grid: false },
  legend: { labelColor: colour("soft"), labelFontSize: 12, orient: "top", title: null, labelLimit: 300 },
  bar: { color: colour("accepted") }, text: { color: colour("ink"), fontSize: 12 }, rule: { color: colour("line") },
});

/** Draws what is in sight, or all of it for a printer. */
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const one = charts.find((chart) => chart.plot === entry.target);
    one.isSeen = entry.isIntersecting;
    if (one.isSeen) one.draw();
  }
}, { rootMargin: "100px" });
addEventListener("beforeprint", () => charts.forEach((one) => one.draw()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((one) => { one.forget(); if (one.isSeen) one.draw(); }));

/** Shows what the filters leave: at once where it is in sight, else later. */
function refresh() {
  for (const one of charts) {
    one.isStale = true;
    if (one.isSeen) one.draw();
  }
}

/**
 * A card with a chart. values(): what is shown, each with its `text` for the pointer; spec(): the chart without its data;
 * alt(values): what it says in words; columns, rows(values): its numbers; pick(value): what a click on one does; room: its height, as far as it is known before.
 */
function figure({ title, note = "", values, spec, alt, columns, rows, pick, wide = false, renderer = "svg", tools = null, room = 230 }) {
  const tip = el("div", { class: "tip" });
  const plot = el("div", { class: "chart", "aria-hidden": "true" });
  plot.style.minHeight = `${room}px`;  // so that a link to what stands below ends there
  const image = el("div", { class: "plot", role: "img", "aria-label": title }, plot, tip);
  const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers of: ${title}` });
  const fill = () => { if (numbers.open) table.replaceChildren(smallTable(columns, rows(one.values), title)); };
  const numbers = el("details", { toggle: fill }, el("summary", {}, "The numbers"), table);
  const say = (_, event, __, text) => {
    tip.textContent = known(text) ? String(text) : "";
    if (!event) return;
    const box = image.getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${event.clientY - box.top + 16}px`;
  };
  const one = {
    plot, isSeen: false, isStale: true, view: null, values: [],
    forget() { one.view?.finalize(); one.view = null; one.isStale = true; },
    draw() {
      if (!one.isStale) return;
      one.isStale = false;
      one.values = values();
      image.setAttribute("aria-label", `${title}. ${alt(one.values)}`);
      fill();
      if (one.view) one.view.data("rows", one.values).run();
      else one.made = embed();
    },
  };
  const embed = async () => {
    const whole = { width: "container", autosize: { type: "fit-x", contains: "padding" }, ...spec(), data: { name: "rows", values: one.values }, config: look() };
    const { view } = await vegaEmbed(plot, whole, { ast: true, actions: false, defaultStyle: false, logLevel: 1, renderer, tooltip: say });
    one.view = view;
    plot.style.minHeight = "";
    // A filter may have changed what is shown while the chart was made.
    view.data("rows", one.values).run();
    if (pick) view.addEventListener("click", (_, item) => { if (known(item?.datum?.text)) pick(item.datum); });
  };
  charts.push(one);
  sight.observe(plot);
  return el("figure", { class: `card${wide ? " wide" : ""}` }, el("figcaption", {}, el("h3", {}, title), el("p", { class: "note" }, note)), tools, image, numbers);
}

const TIP = { field: "text", type: "nominal" };
const axis = (title, more = {}) => ({ type: "quantitative", title, axis: { tickMinStep: more.percent ? 0.01 : 1, format: more.percent ? ".0%" : ",.6~g", tickCount: 4, ...more.axis }, ...(more.scale ? { scale: more.scale } : {}) });

/** One colour for each name of a series; a legend where there are several. */
const coloured = (names, colours) => ({ field: "series", type: "nominal", scale: { domain: names, range: colours.map(colour) }, legend: names.length > 1 ? {} : null });
const SIDES = ["accepted", "second"];
const ofPools = () => coloured(pools.map((pool) => pool.name), SIDES);

/** Bars over ranges of numbers: values {from, to, value, series}. Two pools lie over each other. */
const histogram = (x, y, scale) => () => ({
  height: 190, mark: { type: "rect", opacity: pools.length > 1 ? 0.6 : 1, stroke: colour("card"), strokeWidth: 0.5 },
  encoding: {
    x: { field: "from", ...axis(x, { scale: { nice: false, ...scale }, axis: { tickMinStep: 0 } }) }, x2: { field: "to" },
    y: { field: "value", ...axis(y, { percent: pools.length > 1 }), stack: null }, y2: { datum: 0 }, color: ofPools(), tooltip: TIP,
  },
});

/** A bar for each name: values {label, value, series}. Bars of several series stand below each other, or in a row if `stack` says so. */
const bars = (x, { percent = false, stack = false, names = pools.map((pool) => pool.name), colours = SIDES } = {}) => () => ({
  height: { step: names.length > 1 && !stack ? 15 : 22 }, mark: { type: "bar" },
  encoding: {
    y: { field: "label", type: "nominal", sort: null, title: null, axis: { labelOverlap: false } }, ...(names.length > 1 && !stack ? { yOffset: { field: "series", sort: names } } : {}),
    x: { field: "value", ...axis(x, { percent }), stack: stack || null }, color: coloured(names, colours), tooltip: TIP, order: { field: "order" },
  },
});

/** Lines over the numbers of rounds: values {at, value, series}; an unknown value leaves a gap. */
const lines = (x, y, { names, colours, percent = false }) => () => ({
  height: 190, encoding: { x: { field: "at", ...axis(x) }, y: { field: "value", ...axis(y, { percent, scale: percent ? { domain: [0, 1] } : undefined }) }, color: coloured(names, colours) },
  layer: [{ mark: { type: "line", strokeWidth: 2 } }, { mark: { type: "point", filled: true, size: 40 }, encoding: { tooltip: TIP } }],
});

/** Shades in cells: values {column, row, share, label}, from none of it to all. */
const shades = (x, name) => () => ({
  height: { step: 24 },
  encoding: {
    x: { field: "column", type: "ordinal", sort: null, title: x, axis: { labelAngle: 0 } }, y: { field: "row", type: "nominal", sort: null, title: null, axis: { labelOverlap: false } }, tooltip: TIP,
  },
  layer: [
    { mark: { type: "rect", stroke: colour("card"), strokeWidth: 1 }, encoding: { color: { field: "share", type: "quantitative", scale: { domain: [0, 1], range: [colour("grid"), colour(name)], interpolate: "rgb" }, legend: null } } },
    { mark: { type: "text", fontSize: 11 }, encoding: { text: { field: "label" } } },
  ],
});
