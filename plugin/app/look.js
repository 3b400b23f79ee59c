// The view in 3D: the regions inside the brain or head, to be turned by mouse, finger and keyboard. Loaded when asked for.

import { fill, h, text } from "./dom.js";
import { REGION_LABELS, RESULT_REGIONS, millilitres } from "./format.js";
import { errorBox, segments } from "./parts.js";
import { AROUND, around, box, surfacesOf, whereabouts } from "./surfaces.js";
import { Turntable } from "./turntable.js";

const LABELS = { ...REGION_LABELS, brain: "Brain", head: "Head" };
const AUTOMATIC = "automatic";
const CORRECTED = "corrected";
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const VIEW_KEYS = { a: "axial", c: "coronal", s: "sagittal", Home: "coronal" };
const VIEW_LABELS = [["axial", "Axial"], ["coronal", "Coronal"], ["sagittal", "Sagittal"]];
const COARSE = 10;
const FINE = 2;

/** Opens the view of a job's result; of a correction, too, where there is one. */
export class Look {
  constructor(job, correction, corrected) {
    this.job = job;
    this.correction = correction;
    this.which = correction && corrected ? CORRECTED : AUTOMATIC;
    this.sources = new Map();
    this.hidden = new Set();
    this.status = h("p", { class: "seen", role: "status" });
    this.table = h("div");
    this.failure = h("div", { role: "alert" });
    this.body = h("div", { class: "look-columns" });
    this.element = h("dialog", { class: "look", "aria-labelledby": "look-title", onkeydown: (event) => this.key(event) },
      h("div", { class: "title-row" }, h("h2", { id: "look-title" }, "In 3D"), h("span", { class: "spring" }), h("button", { type: "button", onclick: () => this.element.close() }, "Close")),
      this.failure, this.body,
      h("p", { class: "muted small" }, "Research use only. Not a medical device. Automatic contours, not approved, unless a person drew or accepted them. For orientation: volumes are counted from voxels, not from these surfaces."));
    this.element.addEventListener("close", () => { this.turntable?.close(); this.element.remove(); });
    document.body.append(this.element);
    this.element.showModal();
    this.open();
  }

  async open() {
    try {
      await this.fetch();
    } catch (error) {
      fill(this.failure, errorBox(error.code ? error : { code: "PAGE", message: "The surfaces could not be read.", detail: String(error) }));
      return;
    }
    try {
      this.turntable = new Turntable((from) => this.turned(from), () => this.without("The browser has taken 3D away from this page."));
      fill(this.body, h("div", {}, this.turntable.element, this.status), this.panel());
      this.turntable.view("coronal");
    } catch {
      fill(this.body, this.panel());
      this.without("This browser cannot draw in 3D: it has no WebGL.");
    }
    this.show();
    (this.turntable?.canvas ?? this.element).focus();
  }

  /** Where the regions lie is still told in words. */
  without(why) {
    fill(this.failure, h("p", { class: "error-message" }, why), h("p", {}, "Where the regions lie is in the table; the slices show the same contours."));
    this.turntable?.element.remove();
    this.turntable = null;
    text(this.status, "");
    for (const one of this.controls) one.remove();
  }

  /** Surfaces of the contours that are chosen, with what only the job has. */
  async fetch() {
    const own = this.sources.get(AUTOMATIC) ?? await surfacesOf(`/glioloop/jobs/${this.job.id}/surfaces`);
    this.sources.set(AUTOMATIC, own);
    if (!this.correction) return;
    try {
      const drawn = await surfacesOf(`/glioloop/feedback/${this.correction.id}/surfaces`);
      this.sources.set(CORRECTED, [...drawn, ...own.filter(({ name }) => name === "cavity" || AROUND.includes(name))]);
    } catch {
      this.which = AUTOMATIC; // a correction of an earlier version has none
    }
  }

  panel() {
    const button = (label, keys, run) => h("button", { type: "button", "aria-keyshortcuts": keys, onclick: run }, label);
    this.controls = [
      h("div", { class: "actions" }, VIEW_LABELS.map(([name, label]) => button(label, label[0], () => this.turntable.view(name))),
        button("+", "+", () => this.turntable.nearer(1.25)), button("−", "-", () => this.turntable.nearer(0.8))),
      h("p", { class: "muted small" }, "Drag, or ← → ↑ ↓, to turn (with Shift finely); wheel, two fingers, + or − to zoom; A, C, S for the usual views; 1–4 for a region, 0 for the brain; Esc closes. L and R are the patient's."),
    ];
    const choose = this.sources.has(CORRECTED)
      ? segments("look-source", "Whose contours", [[CORRECTED, "Corrected"], [AUTOMATIC, "Automatic"]], this.which, (which) => { this.which = which; this.show(); }) : null;
    return h("div", {}, choose, this.table, this.controls);
  }

  show() {
    const surfaces = this.sources.get(this.which);
    this.turntable?.show(surfaces, this.hidden);
    this.here = [...RESULT_REGIONS, ...AROUND].map((name) => surfaces.find((one) => one.name === name)).filter(Boolean);
    const { middle } = box(around(this.here));
    const regions = this.here.filter(({ name }) => !AROUND.includes(name));
    this.words = regions.map((one) => `${REGION_LABELS[one.name]} ${this.ml(one.name)}, ${whereabouts(one, middle)}`).join("; ") || "no tumour was found";
    fill(this.table,
      regions.length ? null : h("p", {}, "No tumour was found by the network. This does not exclude one."),
      h("table", { class: "volumes" },
        h("thead", {}, h("tr", {}, ["Shown", "Volume", "Extent and middle"].map((one) => h("th", { scope: "col" }, one)))),
        h("tbody", {}, this.here.map((one) => this.row(one, middle)))));
    if (this.from) this.turned(this.from);
  }

  row(surface, middle) {
    const { name } = surface;
    const switchBox = h("input", { type: "checkbox", checked: !this.hidden.has(name), disabled: !this.turntable, "data-surface": name, onchange: () => this.toggle(name) });
    const swatch = surface.colour && h("span", { class: "swatch" });
    if (swatch) swatch.style.background = `rgb(${surface.colour.join(", ")})`;
    const lengths = box([surface]).lengths.map((one) => Math.round(one)).join(" × ");
    return h("tr", {}, h("th", { scope: "row" }, h("label", { class: "roi" }, switchBox, swatch, LABELS[name])),
      h("td", { class: "number" }, this.ml(name)),
      h("td", { class: "small" }, `${lengths} mm`, surface.colour ? [h("br"), whereabouts(surface, middle)] : null));
  }

  ml(name) {
    const corrected = this.which === CORRECTED && this.correction.regions[name];
    return millilitres(corrected ? corrected.corrected_ml : this.job.result.volumes_ml?.[name]);
  }

  toggle(name) {
    const hide = !this.hidden.has(name);
    if (hide) this.hidden.add(name);
    else this.hidden.delete(name);
    this.table.querySelector(`[data-surface="${name}"]`).checked = !hide;
    this.turntable.toggle(name, !hide);
  }

  turned(from) {
    this.from = from;
    text(this.status, `Seen from ${from}`);
    this.turntable.canvas.setAttribute("aria-label", `Surfaces seen from ${from}: ${this.words}`);
  }

  key(event) {
    if (!this.turntable || event.ctrlKey || event.altKey || event.metaKey) return;
    const { key } = event;
    if (STEPS[key] && event.target.type !== "radio") this.turntable.turn(...STEPS[key].map((one) => one * (event.shiftKey ? FINE : COARSE)));
    else if (VIEW_KEYS[key] ?? VIEW_KEYS[key.toLowerCase()]) this.turntable.view(VIEW_KEYS[key] ?? VIEW_KEYS[key.toLowerCase()]);
    else if (key === "+" || key === "=") this.turntable.nearer(1.25);
    else if (key === "-") this.turntable.nearer(0.8);
    else if (/^[0-4]$/.test(key)) {
      const wanted = key === "0" ? AROUND : [RESULT_REGIONS[Number(key) - 1]];
      for (const { name } of this.here) if (wanted.includes(name)) this.toggle(name);
    } else return;
    event.preventDefault();
  }
}
