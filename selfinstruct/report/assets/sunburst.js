// Verbs inside, their objects outside. The list beside it is for keyboards and screen readers.

const GOLDEN = 137.5;

function arc(from, to, inner, outer) {
  const point = (angle, radius) => `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
  const end = Math.min(to, from + 2 * Math.PI - 1e-4);
  const far = end - from > Math.PI ? 1 : 0;
  return `M${point(from, outer)}A${outer} ${outer} 0 ${far} 1 ${point(end, outer)}L${point(end, inner)}A${inner} ${inner} 0 ${far} 0 ${point(from, inner)}Z`;
}

function arcLabel(text, from, to, inner, outer) {
  const middle = (from + to) / 2, radius = (inner + outer) / 2;
  if ((to - from) * radius < 13) return null;
  const room = Math.floor((outer - inner - 6) / 6.6);
  const turned = (middle * 180) / Math.PI - 90;
  const upright = middle > Math.PI ? turned + 180 : turned;
  const x = radius * Math.sin(middle), y = -radius * Math.cos(middle);
  const shown = text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text;
  return svg("text", { class: "arc-label", transform: `translate(${x.toFixed(1)} ${(y + 0).toFixed(1)}) rotate(${upright.toFixed(1)})`, dy: "0.35em", "text-anchor": "middle" }, shown);
}

/** `verbs` as in the figures; `onPick(verb, noun)` gets the choice, null for none. */
function sunburst(verbs, name, onPick) {
  const { listed, total } = verbs;
  const image = svg("svg", { role: "img", viewBox: "-200 -200 400 400" });
  const tip = el("div", { class: "tip", role: "status" });
  const plot = el("div", { class: "plot" }, image, tip);
  let zoomed = null;

  const say = (event, text) => {
    const box = plot.getBoundingClientRect();
    tip.textContent = text;
    tip.style.left = `${Math.min(event.clientX - box.left + 10, Math.max(0, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${event.clientY - box.top + 14}px`;
  };
  const piece = (from, to, inner, outer, fill, text, label, click) => {
    const path = svg("path", { class: "arc", d: arc(from, to, inner, outer), fill, click, pointermove: (event) => say(event, text), pointerleave: () => { tip.textContent = ""; } });
    image.append(path);
    const words = arcLabel(label, from, to, inner, outer);
    if (words) image.append(words);
  };
  const colour = (place, light) => `hsl(${((place * GOLDEN) % 360).toFixed(0)} 55% ${light}%)`;

  const draw = () => {
    image.replaceChildren();
    const shown = zoomed === null ? listed : listed.filter(([verb]) => verb === zoomed);
    const whole_ = zoomed === null ? total : sum(shown.map((one) => one[1]));
    const turn = (2 * Math.PI) / Math.max(1, whole_);
    let angle = 0;
    for (const [verb, count, nouns] of shown) {
      const place = listed.findIndex((one) => one[0] === verb);
      const end = angle + count * turn;
      piece(angle, end, 62, 125, colour(place, 74), `${verb}: ${number(count)} (${share(count, total, 1)})`, verb, () => zoom(zoomed === null ? verb : null));
      let from = angle;
      for (const [noun, n] of nouns) {
        piece(from, from + n * turn, 127, 196, colour(place, 85), `${verb} ${noun}: ${number(n)} (${share(n, total, 1)})`, noun, () => onPick(verb, noun));
        from += n * turn;
      }
      angle = end;
    }
    const rest = zoomed === null ? total - sum(listed.map((one) => one[1])) : 0;
    if (rest > 0) piece(angle, 2 * Math.PI, 62, 125, "hsl(0 0% 78%)", `${plural(verbs.verbs - listed.length, "other verb")}, or none: ${number(rest)} (${share(rest, total, 1)})`, "others", () => {});
    image.append(
      svg("circle", { class: "middle", r: 58, click: () => zoom(null) }),
      svg("text", { class: "centre", "text-anchor": "middle", y: -2 }, zoomed === null ? number(total) : zoomed.slice(0, 14)),
      svg("text", { "text-anchor": "middle", y: 15 }, zoomed === null ? "instructions" : "back to all"));
    const first = listed.slice(0, 5).map(([verb, count]) => `${verb} ${share(count, total)}`).join(", ");
    image.setAttribute("aria-label", `Verbs and their objects${name ? ` of ${name}` : ""}. The most frequent verbs: ${first || "none"}. The list beside has them all.`);
  };
  const list = el("ol", { tabindex: "0", "aria-label": `Verbs and their objects${name ? ` of ${name}` : ""}` });
  const zoom = (verb) => {
    zoomed = verb;
    draw();
    for (const button of list.querySelectorAll(".verb")) button.setAttribute("aria-pressed", String(button.dataset.verb === verb));
  };
  for (const [verb, count, nouns] of listed) {
    list.append(el("li", {},
      el("button", { type: "button", class: "link verb", "data-verb": verb, "aria-pressed": "false", title: "show this verb alone in the figure", click: () => zoom(zoomed === verb ? null : verb) }, verb),
      ` ${number(count)} `,
      el("button", { type: "button", class: "link", "aria-label": `show the tasks with the verb ${verb}`, click: () => onPick(verb, null) }, "tasks"),
      el("div", { class: "nouns" }, nouns.map(([noun, n], place) => [place ? ", " : "",
        el("button", { type: "button", class: "link", "aria-label": `show the tasks ${verb} ${noun}`, click: () => onPick(verb, noun) }, noun), ` ${number(n)}`]))));
  }
  if (!listed.length) list.append(el("li", {}, "There are no generated tasks yet."));
  draw();
  return el("div", { class: "sunburst" }, plot, list);
}
