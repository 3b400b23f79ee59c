// The course of a patient: a curve of the volumes, and from study to study what has changed.

import { Beside } from "./beside.js";
import { get } from "./api.js";
import { card, fill, h, s } from "./dom.js";
import { RESULT_REGIONS, REGION_LABELS, REVIEW_LABELS, millilitres } from "./format.js";
import { flagList, plainTable } from "./parts.js";
import { patient } from "./patients.js";
import { span, ticks } from "./plot.js";

const WIDTH = 860;
const HEIGHT = 280;
const MARGIN = { left: 58, right: 16, top: 14, bottom: 34 };
const AGAINST = { previous: "Since the one before", nadir: "Since the smallest", first: "Since the first" };

/** The page of a patient, by Orthanc's id; where a number belongs to several people, of the one a study is of. */
export class CoursePage {
  constructor(id, study) {
    this.path = `/glioloop/patients/${encodeURIComponent(id)}/course${study ? `?study=${encodeURIComponent(study)}` : ""}`;
    this.body = h("div", { class: "stack" });
    this.head = h("div", { class: "head" });
    this.element = h("div", { class: "page wide" }, this.head, this.body);
  }

  async refresh() {
    const course = await get(this.path);
    const shown = JSON.stringify(course);
    if (shown !== this.shown) {
      this.shown = shown;
      this.show(course);
    }
    return 6000;
  }

  show(course) {
    const newest = course.studies.at(-1);
    fill(this.head, h("h1", {}, newest ? patient(h("span"), newest.study) : "Course"),
      h("p", { class: "muted" }, "Volumes, diameters and changes; no category of response. Research use only."));
    if (!newest) {
      fill(this.body, h("p", { class: "empty" }, "Nothing to compare: the node has segmented no second study of this patient."));
      return;
    }
    const regions = RESULT_REGIONS.filter((region) => course.studies.some((study) => study.regions[region]));
    fill(this.body, card("Volumes", h("div", { class: "plot-box" }, curve(course.studies, regions)), legend(regions)),
      card("Studies", scrolled("Studies", studyTable(course, regions))),
      course.studies.slice(1).some((study) => study.aligned) ? card("Side by side", new Beside(course.studies).element) : null,
      card("Lesions", scrolled("Lesions", lesionTable(course))),
      newest.flags.length ? card("Quality flags", flagList(newest.flags)) : null);
  }
}

const date = (iso) => iso.slice(0, 10);
const scrolled = (name, table) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);

/** A change of volume, and whether two scans of an unchanged head could differ by as much. */
export function told(change) {
  if (!change) return "";
  const percent = change.percent === null ? "" : ` (${change.percent > 0 ? "+" : ""}${Math.round(change.percent)} %)`;
  const sign = change.difference < 0 ? "−" : "+";
  return `${sign}${millilitres(Math.abs(change.difference))}${percent}${change.repeats ? ", below what repeats" : ""}`;
}

function studyTable(course, regions) {
  const rows = course.studies.map((study) => [
    h("a", { class: "day", href: `#/studies/${study.study}` }, date(study.at)),
    study.source === "automatic" ? "automatic" : REVIEW_LABELS[study.source],
    ...regions.map((region) => cell(study.regions[region])),
    study.regions.ET ? `${Math.round(study.regions.ET.product_mm2)} mm²` : "",
    study.events.map((event) => h("div", {}, `${REGION_LABELS[event.region]}: ${event.kind} ${[...event.before, ...event.after].map(short).join(", ")}`)),
  ]);
  return plainTable("Studies", ["Study", "Contours", ...regions.map((region) => REGION_LABELS[region]), "Products (enhancing)", "Lesions"], rows);
}

function cell(region) {
  if (!region) return "";
  return h("div", {}, h("strong", {}, millilitres(region.volume_ml)),
    region.volume_changes.map((change) => h("div", { class: "small muted" }, `${AGAINST[change.against]}: ${told(change)}`)));
}

const short = (uid) => `…${uid.slice(-5)}`;

function lesionTable(course) {
  const lesions = new Map();
  for (const study of course.studies) {
    for (const one of study.lesions) {
      if (!lesions.has(one.tracking_uid)) lesions.set(one.tracking_uid, { ...one, studies: new Map() });
      lesions.get(one.tracking_uid).studies.set(study.study, one);
    }
  }
  const rows = [...lesions.values()].map((lesion) => [
    h("span", { title: lesion.tracking_uid }, h("span", { class: "swatch", "data-region": lesion.region }), `${REGION_LABELS[lesion.region]} ${short(lesion.tracking_uid)}`),
    lesion.side,
    ...course.studies.map((study) => size(lesion.studies.get(study.study))),
  ]);
  return plainTable("Lesions", ["Lesion", "Side", ...course.studies.map((study) => date(study.at))], rows);
}

function size(lesion) {
  if (!lesion) return "—";
  return h("div", {}, millilitres(lesion.volume_ml), h("div", { class: "small muted" }, `${Math.round(lesion.long_axis_mm)} × ${Math.round(lesion.short_axis_mm)} mm${lesion.measurable ? "" : ", not measurable"}`),
    lesion.change ? h("div", { class: "small muted" }, told(lesion.change)) : null);
}

function legend(regions) {
  return h("p", { class: "small" }, regions.map((region) => [h("span", { class: "swatch", "data-region": region }), `${REGION_LABELS[region]}  `]));
}

/** The next larger of 1, 2 and 5 times a power of ten. */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((one) => one * power >= least);
}

/** Volumes over time, a line a region. */
function curve(studies, regions) {
  const times = studies.map((study) => new Date(study.at).getTime());
  const [from, to] = span(times);
  const largest = Math.max(1, ...studies.flatMap((study) => regions.map((region) => study.regions[region]?.volume_ml ?? 0)));
  const step = roundStep(largest / 4);
  const most = step * Math.ceil(largest / step);
  const x = (time) => MARGIN.left + ((time - from) / (to - from)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (ml) => HEIGHT - MARGIN.bottom - (ml / most) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const levels = Array.from({ length: Math.round(most / step) + 1 }, (_, place) => place * step);
  return s("svg", { class: "plot course", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": "Volumes over time" },
    levels.map((ml) => [
      s("line", { class: "grid", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(ml), y2: y(ml) }),
      s("text", { class: "tick", x: MARGIN.left - 8, y: y(ml) + 4, "text-anchor": "end" }, `${Number(ml.toFixed(2))} ml`)]),
    ticks(from, to, 6).map(([time, label]) => s("text", { class: "tick", x: x(time), y: HEIGHT - 12, "text-anchor": "middle" }, label)),
    regions.map((region) => {
      const points = studies.filter((study) => study.regions[region]).map((study) => [new Date(study.at).getTime(), study.regions[region].volume_ml, date(study.at)]);
      return s("g", { "data-region": region },
        s("path", { d: points.map(([time, ml], place) => `${place ? "L" : "M"}${x(time).toFixed(1)} ${y(ml).toFixed(1)}`).join("") }),
        points.map(([time, ml, day]) => s("circle", { cx: x(time), cy: y(ml), r: 4 }, s("title", {}, `${day}: ${REGION_LABELS[region]} ${millilitres(ml)}`))));
    }));
}
