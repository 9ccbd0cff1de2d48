// The map: each instruction a point, near to those of like meaning. A point opens its row.

const KINDS = { task: "accepted", seed: "seed", rejection: "rejected" };

function map(tasks, rejections, places) {
  if (!places) {
    put("map", el("p", { class: "note" }, 'Not drawn: pip install "selfinstruct[map]" adds a package that places instructions by their meaning; a server with embeddings does so as well (--embeddings-url).'));
    return;
  }
  const points = places.points.map(([x, y, kind, place, cluster, side], order) => {
    const row = kind === "rejection" ? data[side].rejections[place] : data[side].byPosition.get(place);
    const said = kind === "rejection" ? `rejected, ${inWords(row.reason)}: ${row.text}` : `${KINDS[kind]}: ${row.instruction}`;
    return { order, x, y, kind, row, side, cluster: places.clusters[cluster], text: said.length > 240 ? `${said.slice(0, 240)}…` : said };
  });
  const of = (kind) => points.filter((point) => point.kind === kind).length, hidden = new Set();
  const lies = new Map(points.filter((point) => point.kind !== "rejection").map((point) => [point.row, point.cluster]));
  const by = el("select", { id: "map-colour", change: () => { one.forget(); one.draw(); } },
    [["kind", "what became of it"], ["cluster", "cluster"], ...(compares() ? [["pool", "pool"]] : [])].map(([value, name]) => el("option", { value }, name)));
  const series = { kind: (point) => KINDS[point.kind], cluster: (point) => point.cluster, pool: (point) => pools[point.side].name };
  const shown = () => {
    const passes = [tasks, rejections].map((filter) => new Set(filter.isOn ? filter.shown.flat() : []));
    return points.filter((point) => {
      const isRejection = point.kind === "rejection", filter = isRejection ? rejections : tasks;
      return !hidden.has(point.kind) && (!filter.isOn || passes[Number(isRejection)].has(point.row));
    }).map((point) => ({ ...point, row: null, series: series[by.value](point) }));
  };
  const spec = () => ({
    height: 460, mark: { type: "point", filled: true, size: points.length > 1500 ? 22 : 45, opacity: 0.75, cursor: "pointer" },
    encoding: {
      x: { field: "x", type: "quantitative", axis: null, scale: { domain: [-0.02, 1.02] } }, y: { field: "y", type: "quantitative", axis: null, scale: { domain: [-0.02, 1.02] } }, tooltip: TIP,
      color: by.value === "kind" ? coloured(Object.values(KINDS), ["accepted", "seed", "rejected"]) : by.value === "pool" ? ofPools()
        : { field: "series", type: "nominal", scale: { domain: places.clusters, scheme: "category20" }, legend: { columns: innerWidth < 700 ? 1 : 4 } },
    },
  });
  const choose = (cluster) => { tasks.pick(`in the cluster ${cluster}`, (row) => lies.get(row) === cluster); go("tasks"); };
  const toggle = (kind) => {
    const button = el("button", { type: "button", class: "plain", "aria-pressed": "true", click: () => {
      if (!hidden.delete(kind)) hidden.add(kind);
      button.setAttribute("aria-pressed", String(!hidden.has(kind)));
      one.isStale = true;
      one.draw();
    } }, `${KINDS[kind]} ${number(of(kind))}`);
    return button;
  };
  const all = sum(data.map(({ tasks: rows }) => rows.filter((row) => row.state !== "removed").length));
  const some = of("task") + of("seed") < all ? ` It holds ${number(of("task") + of("seed"))} of ${number(all)} tasks and seeds, chosen by chance but always the same, and the newest rejections.` : "";
  put("map", figure({
    title: "What lies near what", wide: true, room: 490, renderer: "canvas", values: shown, spec, alt: (found) => `${plural(found.length, "instruction")} in ${plural(places.clusters.length, "cluster")}: ${places.clusters.join("; ")}.`,
    note: `Each point is an instruction; near points mean like things. A point opens its row. A heap of points says the same again and again; an empty stretch between seeds was never reached.${some} Placed by ${places.by}, in the two directions in which they differ most; clusters are named by their words.`,
    tools: el("div", { class: "tools" }, el("div", {}, el("label", { for: "map-colour" }, "Colours say"), by), Object.keys(KINDS).map(toggle)),
    pick: (point) => { const { row, side, kind } = points[point.order]; if (kind === "rejection") openRejection(side, row); else openTask(side, row); },
    columns: ["cluster", ...Object.values(KINDS)],
    rows: (found) => places.clusters.map((cluster) => [el("button", { type: "button", class: "link", click: () => choose(cluster) }, cluster), ...Object.keys(KINDS).map((kind) => found.filter((point) => point.cluster === cluster && point.kind === kind).length)]),
  }));
  const one = charts.at(-1);
}
