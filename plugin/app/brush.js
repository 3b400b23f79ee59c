// Edit mode of the slice browser: a brush and an eraser for quick edits, by mouse, pen and keyboard.

import { post } from "./api.js";
import { fill, h, text } from "./dom.js";
import { DEPTHS, Drawing } from "./drawing.js";
import { kept } from "./edits.js";
import { REGION_LABELS } from "./format.js";
import { confirm, errorBox, segments } from "./parts.js";

const BRUSH = "brush";
const ERASER = "eraser";
const TOOLS = { b: BRUSH, e: ERASER };
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const LARGEST_MM = 40;
const FILL = 60;
const BORDER = 215;

/** Edits of one result; it lives from entering the mode until it is left. */
export class Brush {
  /** browser: the slices; corrected: the correction that is gone on from and its contours, or null; leave: called at the end, with whether something was saved. */
  constructor(browser, corrected, leave) {
    this.browser = browser;
    this.after = corrected?.id ?? null;
    this.leaveMode = leave;
    this.drawing = new Drawing(browser.content, corrected?.contours ?? null);
    this.offered = DEPTHS.filter((region) => browser.content.rois.some((roi) => roi.region === region));
    this.colours = DEPTHS.map((region) => browser.content.rois.find((roi) => roi.region === region)?.colour ?? [255, 255, 255]);
    this.region = this.offered[0];
    this.tool = BRUSH;
    this.radius = 3;
    this.cursor = browser.content.size.slice(0, 2).map((length) => Math.floor(length / 2));
    this.saving = false;
    this.overlay = document.createElement("canvas");
    this.build();
    this.tell(`Edit mode: ${this.words()}.`);
  }

  /** Whether there is something that would be lost. */
  get unsaved() {
    return this.drawing.changed && !this.saved;
  }

  build() {
    const button = (label, keys, run, options = {}) => h("button", { type: "button", "aria-keyshortcuts": keys, onclick: run, ...options }, label);
    this.tools = segments("tool", "Tool", [[BRUSH, "Brush"], [ERASER, "Eraser"]], this.tool, (value) => this.use(value));
    this.regions = segments("region", "Region", this.offered.map((one, n) => [one, [h("span", { class: "swatch", "data-region": one }), `${n + 1} ${REGION_LABELS[one]}`]]), this.region, (value) => this.choose(value));
    this.size = h("input", { type: "range", min: 0.5, max: LARGEST_MM, step: 0.5, value: this.radius, "aria-label": "Radius of the brush, mm", oninput: () => this.resize(Number(this.size.value)) });
    this.sizeShown = h("output", { class: "number" });
    this.undoButton = button("Undo", "Control+Z", () => this.undo());
    this.redoButton = button("Redo", "Control+Y", () => this.redo());
    this.saveButton = button("Save", null, () => this.save(false), { class: "primary" });
    this.acceptButton = button("Save and accept", null, () => this.save(true));
    this.leaveButton = button("Leave", "Escape", () => this.leave());
    this.status = h("p", { class: "small", role: "status" });
    this.failure = h("div", { role: "alert" });
    this.element = h("div", { class: "brush", role: "group", "aria-label": "Edit the contours" },
      h("div", { class: "toolbar" }, this.tools, this.regions, h("label", { class: "size" }, "Radius ", this.size, this.sizeShown)),
      h("div", { class: "actions" }, this.undoButton, this.redoButton, h("span", { class: "spring" }), this.leaveButton, this.acceptButton, this.saveButton),
      this.status, this.failure,
      h("p", { class: "muted small" }, "On a picture: arrows move the cursor (with Shift ten voxels), Space or Enter paints, Page ↑ ↓ changes the slice, B and E choose brush and eraser, 1–3 the region, [ ] the radius, Ctrl+Z and Ctrl+Y undo and redo, Escape leaves. What is painted in a region lies in those around it, too; what is erased leaves those within it."));
    this.update();
  }

  // --- what the user does ---

  use(tool) {
    this.tool = tool;
    this.tools.querySelector(`input[value=${tool}]`).checked = true;
    this.changed(this.words());
  }

  choose(region) {
    this.region = region;
    this.regions.querySelector(`input[value=${region}]`).checked = true;
    this.changed(this.words());
  }

  resize(radius) {
    this.radius = Math.min(LARGEST_MM, Math.max(0.5, radius));
    this.size.value = this.radius;
    this.changed(`Radius ${this.radius} mm`);
  }

  undo() {
    this.went(this.drawing.undo(), "Undone");
  }

  redo() {
    this.went(this.drawing.redo(), "Done again");
  }

  went(k, words) {
    if (k === null) return this.tell("Nothing more");
    this.browser.go(k);
    return this.changed(`${words}, slice ${k + 1}`);
  }

  move([across, down]) {
    const [columns, rows] = this.browser.content.size;
    this.cursor = [Math.min(Math.max(this.cursor[0] + across, 0), columns - 1), Math.min(Math.max(this.cursor[1] + down, 0), rows - 1)];
    this.changed(this.where());
  }

  /** One disc where the cursor is. */
  stamp() {
    if (this.saving) return;
    this.drawing.begin(this.browser.k);
    this.drawing.dab(...this.cursor, this.radius, this.region, this.tool === ERASER);
    const there = this.drawing.end();
    this.changed(`${there ? (this.tool === ERASER ? "Erased" : "Painted") : "No change"}: ${REGION_LABELS[this.region]}, ${this.where()}`);
  }

  where() {
    const [column, row] = this.cursor;
    const depth = this.drawing.depths(this.browser.k)[row * this.browser.content.size[0] + column];
    return `column ${column + 1}, row ${row + 1}, ${depth ? `in ${REGION_LABELS[DEPTHS[depth - 1]].toLowerCase()}` : "outside"}`;
  }

  words() {
    return `${this.tool}, ${REGION_LABELS[this.region].toLowerCase()}, radius ${this.radius} mm`;
  }

  /** Whether a key was meant for this mode. */
  key(event) {
    const onPicture = event.target.tagName === "CANVAS";
    const { key } = event;
    const taken = () => { event.preventDefault(); return true; };
    if (event.ctrlKey || event.metaKey) {
      if (key.toLowerCase() === "z" && !event.shiftKey) this.undo();
      else if (key.toLowerCase() === "y" || key.toLowerCase() === "z") this.redo();
      else return true;
      return taken();
    }
    if (event.altKey) return true;
    if (key === "Escape") this.leave();
    else if (onPicture && STEPS[key]) this.move(STEPS[key].map((step) => step * (event.shiftKey ? 10 : 1)));
    else if (onPicture && (key === " " || key === "Enter")) this.stamp();
    else if (TOOLS[key.toLowerCase()]) this.use(TOOLS[key.toLowerCase()]);
    else if (this.offered[Number(key) - 1]) this.choose(this.offered[Number(key) - 1]);
    else if (key === "[" || key === "]") this.resize(this.radius + (key === "]" ? 0.5 : -0.5));
    else if (key === "PageDown" || key === "PageUp") this.browser.go(this.browser.k + (key === "PageDown" ? 1 : -1));
    else return key !== "z"; // of the browser's own keys, that for the zoom
    return taken();
  }

  /** A pointer on a picture: it paints while it is pressed. */
  pointer(event) {
    const canvas = event.target;
    if (canvas.tagName !== "CANVAS") return;
    const place = this.browser.placeOf(canvas, event);
    if (event.type === "pointerdown") {
      if (event.button !== 0 || this.saving) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.drawing.begin(this.browser.k);
      this.last = place;
    }
    const stroke = this.drawing.stroke;
    if (stroke && event.type !== "pointerup" && event.type !== "pointercancel") this.along(this.last, place);
    this.last = place;
    this.cursor = place;
    if (stroke && (event.type === "pointerup" || event.type === "pointercancel")) {
      this.drawing.end();
      this.changed(`${this.tool === ERASER ? "Erased" : "Painted"}: ${REGION_LABELS[this.region]}`);
    } else {
      this.changed();
    }
  }

  /** Discs along a line, close enough to leave no gaps. */
  along(from, to) {
    const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
    for (let n = 0; n <= steps; n += 1) {
      const [column, row] = from.map((one, axis) => Math.round(one + ((to[axis] - one) * n) / steps));
      this.drawing.dab(column, row, this.radius, this.region, this.tool === ERASER);
    }
  }

  leave() {
    if (this.saving) return;
    if (this.unsaved) confirm("Leave without saving?", "What you have painted and erased would be lost.", "Leave", async () => this.leaveMode(false), "Go on editing");
    else this.leaveMode(false);
  }

  async save(accept) {
    fill(this.failure);
    this.saving = true;
    this.changed("Saving…");
    try {
      const path = `/glioloop/jobs/${this.browser.job.id}/edits`;
      const sent = await post(path, { slices: this.drawing.edits(), after: this.after, accept });
      await kept(`${path}/${sent.id}`, (state) => this.tell(state === "stored" ? "Stored. It is being compared with the automatic contours…" : "Saving…"));
      this.saved = true;
      this.leaveMode(true);
    } catch (error) {
      fill(this.failure, errorBox(error.code ? error : { code: "PAGE", message: "This page failed.", detail: String(error) }));
      this.saving = false;
      this.changed("Not saved. What you drew is still here.");
    }
  }

  // --- what is shown ---

  tell(words) {
    text(this.status, words);
  }

  changed(words) {
    if (words) this.tell(words);
    this.update();
    this.browser.draw();
  }

  update() {
    text(this.sizeShown, ` ${this.radius} mm`);
    this.undoButton.disabled = this.saving || !this.drawing.done.length;
    this.redoButton.disabled = this.saving || !this.drawing.undone.length;
    this.saveButton.disabled = this.saving || !this.drawing.changed;
    // A correction that nobody approved may be accepted as it is.
    this.acceptButton.disabled = this.saving || !(this.drawing.changed || this.after);
    this.leaveButton.disabled = this.saving;
  }

  /** Draw regions and cursor over the part of a slice that a canvas shows. */
  draw(context, [left, top, width, height], density) {
    const { canvas } = context;
    const [columns, rows] = this.browser.content.size;
    const [across, down] = this.browser.content.spacing_mm;
    const x = canvas.width / width;
    const y = canvas.height / height;
    this.paint(columns, rows);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.overlay, left, top, width, height, 0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = true;
    for (const [colour, thick] of [["#000", 3], ["#fff", 1.4]]) {
      context.beginPath();
      context.ellipse((this.cursor[0] + 0.5 - left) * x, (this.cursor[1] + 0.5 - top) * y, Math.max(3, (this.radius / across) * x), Math.max(3, (this.radius / down) * y), 0, 0, 2 * Math.PI);
      context.setLineDash(this.tool === ERASER ? [4 * density, 3 * density] : []);
      context.strokeStyle = colour;
      context.lineWidth = thick * density;
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** The regions of the slice as a picture, a pixel a voxel; borders stronger, that every region's extent shows. */
  paint(columns, rows) {
    const depths = this.drawing.depths(this.browser.k);
    this.overlay.width = columns;
    this.overlay.height = rows;
    const context = this.overlay.getContext("2d");
    const picture = context.createImageData(columns, rows);
    for (let place = 0; place < depths.length; place += 1) {
      const depth = depths[place];
      if (!depth) continue;
      const column = place % columns;
      const least = Math.min(column ? depths[place - 1] : 0, column + 1 < columns ? depths[place + 1] : 0, depths[place - columns] ?? 0, depths[place + columns] ?? 0);
      picture.data.set([...this.colours[depth - 1], least < depth ? BORDER : FILL], 4 * place);
    }
    context.putImageData(picture, 0, 0);
  }
}
