// Agreement over time as an SVG: a dot a correction, a line the mean of the last ones, a colour and shape a network.

import { s } from "./dom.js";

const HEIGHT = 260;
const MARGIN = { left: 44, right: 16, top: 12, bottom: 34 };
/** More networks than this share colours and shapes; the table tells them apart. */
export const LOOKS = 6;

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/**
 * Draw the points of one region.
 *
 * points: `{at, model, dice, dice_recent, kind}` in the order of time; models: names in the order of their looks.
 */
export function plot(points, models, width, title) {
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const times = points.map((one) => new Date(one.at).getTime());
  const [from, to] = span(times);
  const low = Math.min(0.8, Math.floor(Math.min(...points.map((one) => one.dice), 1) * 10) / 10);
  const x = (time) => MARGIN.left + ((time - from) / (to - from)) * inner.width;
  const y = (dice) => MARGIN.top + ((1 - dice) / (1 - low)) * inner.height;
  return s("svg", { class: "plot", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": title },
    dices(low).map((dice) => [
      s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(dice), y2: y(dice) }),
      s("text", { class: "tick", x: MARGIN.left - 8, y: y(dice) + 4, "text-anchor": "end" }, dice.toFixed(1))]),
    ticks(from, to, Math.max(2, Math.floor(inner.width / 110))).map(([time, label], place, all) =>
      s("text", { class: "tick", x: x(time), y: HEIGHT - 12, "text-anchor": place === 0 ? "start" : place === all.length - 1 ? "end" : "middle" }, label)),
    models.map((model, look) => series(points.filter((one) => one.model === model), look % LOOKS, x, y)));
}

function series(points, look, x, y) {
  if (!points.length) return null;
  const at = (one) => x(new Date(one.at).getTime());
  const line = points.map((one, place) => `${place ? "L" : "M"}${at(one).toFixed(1)} ${y(one.dice_recent).toFixed(1)}`).join("");
  return s("g", { class: `series look-${look}` },
    points.length > 1 ? s("path", { class: "mean", d: line }) : null,
    points.map((one) => mark(at(one), y(one.dice), look, `${day.format(new Date(one.at))}: Dice ${one.dice.toFixed(3)}, ${one.model}, ${one.kind}`)));
}

/** The dot of a look; shapes too, so that colour is not all that tells networks apart. */
export function mark(x, y, look, title = "") {
  const r = 4.5;
  const shapes = [
    () => s("circle", { cx: x, cy: y, r }),
    () => s("rect", { x: x - r * 0.9, y: y - r * 0.9, width: r * 1.8, height: r * 1.8 }),
    () => s("path", { d: `M${x} ${y - r * 1.2}L${x + r * 1.15} ${y + r * 0.9}L${x - r * 1.15} ${y + r * 0.9}Z` }),
    () => s("path", { d: `M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}Z` }),
    () => s("path", { d: `M${x} ${y + r * 1.2}L${x + r * 1.15} ${y - r * 0.9}L${x - r * 1.15} ${y - r * 0.9}Z` }),
    () => s("path", { d: `M${x - r} ${y - r * 0.4}h${r * 0.6}v${-r * 0.6}h${r * 0.8}v${r * 0.6}h${r * 0.6}v${r * 0.8}h${-r * 0.6}v${r * 0.6}h${-r * 0.8}v${-r * 0.6}h${-r * 0.6}Z` }),
  ];
  const shape = shapes[look]();
  if (title) shape.append(s("title", {}, title));
  return shape;
}

/** First and last moment, a little apart where all is one. */
export function span(times) {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const gap = Math.max((last - first) * 0.04, 60_000);
  return [first - gap, last + gap];
}

function dices(low) {
  const step = low < 0.5 ? 0.2 : 0.1;
  const found = [];
  for (let dice = 1; dice >= low - 1e-9; dice -= step) found.push(dice);
  return found;
}

export function ticks(from, to, most) {
  const hours = (to - from) / 3_600_000;
  const format = hours < 36 ? minute : hours < 24 * 300 ? day : year;
  const found = [];
  for (let place = 0; place <= most; place++) {
    const time = from + ((to - from) * place) / most;
    const label = format.format(new Date(time));
    if (found.at(-1)?.[1] !== label) found.push([time, label]);
  }
  return found;
}
