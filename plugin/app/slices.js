// The slice browser: the aligned sequences on the reference series' slices, with the contours over them.

import { get, root } from "./api.js";
import { Brush } from "./brush.js";
import { h, s, text } from "./dom.js";
import { SEQUENCES, SEQUENCE_LABELS } from "./format.js";
import { areas, bounds } from "./outlines.js";
import { segments } from "./parts.js";

const FOUR = "four";
const AUTOMATIC = "automatic";
const CORRECTED = "corrected";
/** Whose contours X shows, in turn. */
const TURNS = [[AUTOMATIC, CORRECTED], [AUTOMATIC], [CORRECTED]];

/** Slices of one job's result. */
export class SliceBrowser {
  /**
   * content: the job's contours, or those of two studies, each its `own`; corrected: those of a correction on the same slices, or null.
   * edited: where the contours may be edited, called when that ends, with whether something was saved; correction: what is gone on from.
   */
  constructor(job, content, corrected, edited = null, correction = null) {
    this.job = job;
    this.content = content;
    this.edited = edited;
    this.correction = correction;
    this.brush = null;
    // Results of earlier versions do not say; they had all four.
    this.sequences = content.sequences ?? SEQUENCES;
    this.labels = content.labels ?? SEQUENCE_LABELS;
    this.corrected = corrected && onContent(corrected, content);
    this.sources = new Set([AUTOMATIC, CORRECTED]);
    this.sheets = new Map();
    this.hidden = new Set();
    this.zoomed = false;
    this.view = FOUR;
    this.profile = areas(content);
    this.k = this.profile.indexOf(Math.max(...this.profile));
    this.build();
  }

  static async of(job, correction, edited) {
    const [content, corrected] = await Promise.all([
      get(`/glioloop/jobs/${job.id}/contours`),
      // A correction that cannot be shown leaves the automatic contours as they are.
      correction ? get(`/glioloop/feedback/${correction.id}/contours`).catch(() => null) : null]);
    // What was drawn on other slices can't be gone on with here.
    const mayEdit = !correction || (corrected && corrected.slices.join() === content.slices.join());
    return new SliceBrowser(job, content, corrected, mayEdit ? edited : null, correction && { id: correction.id, regions: correction.regions, contours: corrected });
  }

  build() {
    const count = this.content.size[2];
    this.panes = h("div", { class: "panes", "data-view": this.view });
    this.slider = h("input", { type: "range", min: 0, max: count - 1, step: 1, value: this.k, "aria-label": "Slice", oninput: () => this.go(Number(this.slider.value)) });
    this.place = h("output", { class: "number slice-number", "aria-live": "polite" });
    this.strip = h("canvas", { class: "profile", "aria-hidden": "true", height: 22 });
    this.editButton = this.edited && h("button", { type: "button", onclick: () => this.edit() }, "Edit contours");
    this.lookButton = this.job && h("button", { type: "button", "aria-keyshortcuts": "V", onclick: () => this.look() }, "3D");
    this.editing = h("div");
    this.shownOnly = [this.roiSwitches(), this.sourceSwitches(), this.lookButton, this.editButton].filter(Boolean);
    this.element = h("div", { class: "browser", onkeydown: (event) => this.key(event) },
      h("div", { class: "toolbar" }, this.viewPicker(), this.shownOnly.slice(0, 2), this.zoomButton(), this.shownOnly.slice(2)),
      this.editing,
      this.panes,
      h("div", { class: "slider-row" }, h("div", { class: "slider" }, this.strip, this.slider), this.place),
      this.help = h("p", { class: "muted small" }, "Scroll or use ↑ ↓ to change the slice, ", this.content.own ? "1 and 2 for a study, 3 for both, C" : "1–4 for a sequence, 5 for all, C", " for the contours, ", this.corrected ? "X for automatic and corrected in turn, " : "", this.job ? "V for 3D, " : "", "Z to zoom. For orientation only, not for diagnosis."));
    this.panes.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.panes.addEventListener(type, (event) => this.brush?.pointer(event));
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.panes);
    this.showPanes();
  }

  viewPicker() {
    this.views = segments("view", "Sequence", [...this.sequences.map((name) => [name, this.labels[name]]), [FOUR, { 4: "All four", 2: "Both" }[this.sequences.length] ?? "All"]], this.view, (value) => this.setView(value));
    return this.views;
  }

  roiSwitches() {
    this.switches = this.content.rois.map((roi, number) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = colour(roi);
      const box = h("input", { type: "checkbox", checked: true, onchange: () => this.toggle(number, !box.checked) });
      return { box, label: h("label", { class: "roi", title: roi.meaning, "data-roi": roi.name }, box, swatch, roi.name) };
    });
    return h("div", { class: "rois", role: "group", "aria-label": "Contours" }, this.switches.map((one) => one.label));
  }

  /** Automatic and corrected contours, each with the line it is drawn with. */
  sourceSwitches() {
    if (!this.corrected) return null;
    this.lines = new Map([[AUTOMATIC, "Automatic"], [CORRECTED, "Corrected"]].map(([source, label]) => {
      const box = h("input", { type: "checkbox", checked: true, onchange: () => this.showSource(source, box.checked) });
      const sample = s("svg", { class: `line ${source}`, width: 26, height: 8, "aria-hidden": "true" }, s("line", { x1: 1, y1: 4, x2: 25, y2: 4 }));
      return [source, { box, label: h("label", { class: "roi", "data-source": source }, box, sample, label) }];
    }));
    return h("div", { class: "rois", role: "group", "aria-label": "Whose contours" }, [...this.lines.values()].map((one) => one.label));
  }

  zoomButton() {
    const box = bounds(this.content);
    this.zoom = h("button", { type: "button", "aria-pressed": "false", disabled: box === null, onclick: () => this.setZoom(!this.zoomed) }, "Zoom to tumour");
    return this.zoom;
  }

  // --- what the user does ---

  go(k) {
    const next = Math.min(Math.max(k, 0), this.content.size[2] - 1);
    this.k = next;
    this.slider.value = next;
    this.draw();
  }

  setView(view) {
    if (view !== FOUR && !this.sequences.includes(view)) return;
    this.view = view;
    this.views.querySelector(`input[value=${view}]`).checked = true;
    this.panes.dataset.view = view;
    this.showPanes();
  }

  toggle(number, hide) {
    if (hide) this.hidden.add(number);
    else this.hidden.delete(number);
    this.switches[number].box.checked = !hide;
    this.draw();
  }

  showSource(source, on) {
    if (on) this.sources.add(source);
    else this.sources.delete(source);
    this.lines.get(source).box.checked = on;
    this.draw();
  }

  /** Both, the automatic ones, the corrected ones, both … */
  turnSources() {
    const now = TURNS.findIndex((turn) => turn.length === this.sources.size && turn.every((one) => this.sources.has(one)));
    const next = TURNS[(now + 1) % TURNS.length];
    for (const source of this.lines.keys()) this.showSource(source, next.includes(source));
  }

  setZoom(on) {
    this.zoomed = on && bounds(this.content) !== null;
    this.zoom.setAttribute("aria-pressed", String(this.zoomed));
    this.draw();
  }

  /** Open the view in 3D, which is loaded only now. */
  async look() {
    const { Look } = await import("./look.js");
    this.looked = new Look(this.job, this.correction, this.sources.has(CORRECTED));
  }

  /** Enter edit mode: the contours as areas that are painted and erased. */
  edit() {
    this.brush = new Brush(this, this.correction, (saved) => {
      this.brush = null;
      this.showEditing();
      this.editButton.focus();
      this.edited(saved);
    });
    this.showEditing();
    this.canvases[0][1].focus();
  }

  showEditing() {
    this.editing.replaceChildren(...(this.brush ? [this.brush.element] : []));
    for (const one of [...this.shownOnly, this.help]) one.hidden = this.brush !== null;
    this.panes.dataset.editing = this.brush !== null;
    this.draw();
  }

  /** The voxel of a slice under a pointer: column and row. */
  placeOf(canvas, event) {
    const [left, top, width, height] = this.window();
    const box = canvas.getBoundingClientRect();
    const [columns, rows] = this.content.size;
    const within = (place, length) => Math.min(Math.max(Math.floor(place), 0), length - 1);
    return [within(left + ((event.clientX - box.left) / box.width) * width, columns), within(top + ((event.clientY - box.top) / box.height) * height, rows)];
  }

  wheel(event) {
    event.preventDefault();
    this.go(this.k + Math.sign(event.deltaY));
  }

  key(event) {
    if (this.brush?.key(event)) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 5, PageUp: -5 };
    const views = this.content.own ? [...this.sequences, FOUR] : [...SEQUENCES, FOUR];
    if (event.key in steps && event.target.type !== "radio") this.go(this.k + steps[event.key]);
    else if (/^[1-5]$/.test(event.key) && views[Number(event.key) - 1]) this.setView(views[Number(event.key) - 1]);
    else if (event.key === "c") {
      const hide = this.hidden.size < this.content.rois.length;
      this.content.rois.forEach((_, number) => this.toggle(number, hide));
    } else if (event.key === "x" && this.corrected) this.turnSources();
    else if (event.key === "v" && this.job) this.look();
    else if (event.key === "z") this.setZoom(!this.zoomed);
    else return;
    event.preventDefault();
  }

  // --- drawing ---

  showPanes() {
    const shown = this.view === FOUR ? this.sequences : [this.view];
    this.canvases = shown.map((name) => [name, h("canvas", { role: "img", tabindex: 0, "data-sequence": name })]);
    this.panes.replaceChildren(...this.canvases.map(([name, canvas]) =>
      h("figure", {}, canvas, h("figcaption", {}, this.labels[name] + (name === this.content.reference ? " · reference" : "")))));
    for (const name of shown) this.load(name);
    this.draw();
  }

  async load(name) {
    if (this.sheets.has(name)) return;
    const image = new Image();
    this.sheets.set(name, image);
    image.src = this.content.source?.(name) ?? `${root}/glioloop/jobs/${this.job.id}/slices/${name}.jpg`;
    try {
      await image.decode();
    } catch {
      this.sheets.delete(name);
    }
    this.draw();
  }

  /** The part of a slice that is shown: left, top, width, height in pixels of the series. */
  window() {
    const [columns, rows] = this.content.size;
    return (this.zoomed && bounds(this.content)) || [0, 0, columns, rows];
  }

  draw() {
    const count = this.content.size[2];
    const here = this.brush ? [] : [
      ...(this.sources.has(AUTOMATIC) ? this.content.contours[this.k] ?? [] : []),
      ...(this.corrected && this.sources.has(CORRECTED) ? this.corrected[this.k] ?? [] : [])];
    const names = [...new Set(here.map((one) => this.content.rois[one.roi].name))];
    text(this.place, `${this.k + 1} / ${count}`);
    for (const [name, canvas] of this.canvases) {
      canvas.setAttribute("aria-label", `${this.labels[name]}, slice ${this.k + 1} of ${count}, ${this.brush ? "being edited" : names.length ? `contours of ${names.join(", ")}` : "no contours"}`);
      this.drawPane(name, canvas, this.content.own ? this.content.own[name][this.k] ?? [] : here);
    }
    this.drawProfile();
  }

  drawPane(name, canvas, contours) {
    const { sheet, size, spacing_mm: spacing } = this.content;
    const [left, top, width, height] = this.window();
    const ratio = (height * spacing[1]) / (width * spacing[0]);
    const shownWidth = canvas.clientWidth || 300;
    const density = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(shownWidth * density);
    canvas.height = Math.round(shownWidth * ratio * density);
    canvas.style.aspectRatio = `${canvas.width} / ${canvas.height}`;
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const image = this.sheets.get(name);
    if (image?.complete && image.naturalWidth) {
      const scale = [sheet.width / size[0], sheet.height / size[1]];
      const x = (this.k % sheet.across) * sheet.width + left * scale[0];
      const y = Math.floor(this.k / sheet.across) * sheet.height + top * scale[1];
      context.imageSmoothingQuality = "high";
      context.drawImage(image, x, y, width * scale[0], height * scale[1], 0, 0, canvas.width, canvas.height);
    }
    this.brush?.draw(context, this.window(), density);
    this.drawContours(context, contours, density);
    this.drawEdges(context, density);
  }

  drawContours(context, contours, density) {
    const [left, top, width, height] = this.window();
    const x = context.canvas.width / width;
    const y = context.canvas.height / height;
    context.lineJoin = "round";
    for (const { roi, points, dashed } of contours) {
      if (this.hidden.has(roi)) continue;
      const path = new Path2D();
      // A pixel's centre is its whole number; its corner, where the canvas begins, lies half a pixel before.
      for (let i = 0; i < points.length; i += 2) path.lineTo((points[i] + 0.5 - left) * x, (points[i + 1] + 0.5 - top) * y);
      path.closePath();
      context.setLineDash(dashed ? [5 * density, 4 * density] : []);
      context.strokeStyle = "rgba(0, 0, 0, 0.55)";
      context.lineWidth = 3.2 * density;
      context.stroke(path);
      context.strokeStyle = colour(this.content.rois[roi]);
      context.lineWidth = (dashed ? 2 : 1.6) * density;
      context.stroke(path);
    }
    context.setLineDash([]);
  }

  drawEdges(context, density) {
    const { width, height } = context.canvas;
    const { left, right, top, bottom } = this.content.edges;
    const gap = 9 * density;
    context.font = `600 ${11 * density}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [letter, x, y] of [[left, gap, height / 2], [right, width - gap, height / 2], [top, width / 2, gap], [bottom, width / 2, height - gap]]) {
      context.lineWidth = 3 * density;
      context.strokeStyle = "#000";
      context.strokeText(letter, x, y);
      context.fillStyle = "#cdd6de";
      context.fillText(letter, x, y);
    }
  }

  /** How much tumour each slice holds, above the slider. */
  drawProfile() {
    const width = this.strip.clientWidth || 300;
    this.strip.width = width;
    const context = this.strip.getContext("2d");
    const style = getComputedStyle(this.strip);
    const most = Math.max(...this.profile, 1);
    // The slider's thumb does not reach its ends.
    const inset = 8;
    const step = (width - 2 * inset) / Math.max(1, this.profile.length - 1);
    this.profile.forEach((area, k) => {
      const tall = area ? Math.max(2, (area / most) * 20) : 1;
      context.fillStyle = k === this.k ? style.getPropertyValue("--text") : style.getPropertyValue(area ? "--accent" : "--line");
      context.fillRect(inset + k * step - Math.min(step * 0.35, 4), 22 - tall, Math.max(1, Math.min(step * 0.7, 8)), tall);
    });
  }
}

/** Contours of a correction by slice with the ROIs' places in `content`; null where it lies on other slices. */
function onContent(corrected, content) {
  if (corrected.slices.join() !== content.slices.join()) return null;
  const places = new Map(content.rois.map((roi, place) => [roi.region, place]));
  return Object.fromEntries(Object.entries(corrected.contours).map(([k, contours]) => [k,
    contours.filter((one) => places.has(one.region)).map((one) => ({ roi: places.get(one.region), points: one.points, dashed: true }))]));
}

const colour = (roi) => `rgb(${roi.colour.join(", ")})`;
