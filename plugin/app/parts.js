// Pieces that several pages show.

import { Refusal } from "./api.js";
import { h, text } from "./dom.js";
import { ACTIVE, SEQUENCES, SEQUENCE_LABELS, SEQUENCE_NAMES, STAGE_LABELS, STATE_LABELS, jobProgress, moment } from "./format.js";

/** A job's state in a word, told by shape and colour too. */
export const statePill = (state) => h("span", { class: "pill", "data-state": state }, STATE_LABELS[state] ?? state);

/** What a job that is put off waits for, in words; nothing for others. */
export const putOff = (job) => (job.waits_until ? `Waits for quiet hours, from ${moment(job.waits_until)}` : "");

/** Which of the four sequences a job has. */
export function sequenceChips(found) {
  if (!found) return h("span", { class: "muted" }, "—");
  return h(
    "span",
    { class: "chips" },
    SEQUENCES.map((name) =>
      h(
        "span",
        { class: "chip", "data-found": found.includes(name), title: `${SEQUENCE_NAMES[name]}: ${found.includes(name) ? "found" : "missing"}` },
        SEQUENCE_LABELS[name],
        found.includes(name) ? null : h("span", { class: "unseen" }, " missing"),
      ),
    ),
  );
}

/** A bar that can be told anew how far a job is. */
export class ProgressLine {
  constructor() {
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the job" });
    this.label = h("span", { class: "muted small" });
    this.element = h("div", { class: "progress-line" }, this.bar, this.label);
  }

  update(job) {
    this.element.hidden = !ACTIVE.has(job.state);
    this.bar.value = jobProgress(job);
    const stage = STAGE_LABELS[job.stage] ?? "Waiting";
    text(this.label, job.state === "queued" ? "Waiting for a worker" : `${stage}${job.progress ? ` ${Math.round(job.progress * 100)} %` : ""}`);
  }
}

/** Why something was refused or failed: for the radiologist, then for the engineer. */
export function errorBox(error) {
  return h(
    "div",
    { class: "error-box", role: "group", "aria-label": "Reason" },
    h("p", { class: "error-message" }, error.message),
    error.detail ? h("p", {}, error.detail) : null,
    error.hint ? h("p", { class: "muted" }, h("strong", {}, "What to do: "), error.hint) : null,
    h("p", { class: "muted small" }, h("code", {}, error.code)),
  );
}

/** What to show where a page could not be made. */
export function trouble(error) {
  const known = error instanceof Refusal;
  return h("div", { class: "page" }, errorBox(known ? error : { code: "PAGE", message: "This page failed.", detail: String(error) }));
}

/** Quality flags of a result. */
export function flagList(flags) {
  if (!flags?.length) return h("p", { class: "muted" }, "No quality flags.");
  return h(
    "ul",
    { class: "flags" },
    flags.map((flag) => h("li", {}, h("strong", {}, flag.message), flag.detail ? ` ${flag.detail}` : "", h("div", { class: "muted small" }, flag.hint))),
  );
}

/** Every series of a study with what was made of it and why. */
export function seriesTable(series) {
  const order = (one) => (one.verdict === "chosen" ? SEQUENCES.indexOf(one.sequence) : 9);
  const rows = [...series].sort((a, b) => order(a) - order(b) || (a.series_number ?? 1e9) - (b.series_number ?? 1e9));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Series of the study" },
    h(
      "table",
      { class: "series" },
      h("thead", {}, h("tr", {}, ["Used as", "No.", "Series", "Score", "Why"].map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, rows.map(seriesRow)),
    ),
  );
}

function seriesRow(one) {
  const chosen = one.verdict === "chosen";
  // What excludes a series may stand among its reasons, too.
  const why = [...new Set([...(one.exclusions ?? []).map((exclusion) => exclusion.text), ...(one.reasons ?? [])])];
  return h(
    "tr",
    { class: chosen ? "" : "unused" },
    h("td", {}, chosen ? h("span", { class: "chip", "data-found": true }, SEQUENCE_LABELS[one.sequence]) : "not used"),
    h("td", { class: "number" }, one.series_number ?? ""),
    h("th", { scope: "row" }, one.description || "(no description)"),
    h("td", { class: "number" }, one.score?.toFixed(1) ?? ""),
    h("td", { class: "small" }, why.join("; ")),
  );
}

/** A table of plain cells. */
export function plainTable(label, head, rows) {
  return h(
    "table",
    { "aria-label": label },
    h("thead", {}, h("tr", {}, head.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, place) => (place ? h("td", {}, cell) : h("th", { scope: "row" }, cell)))))),
  );
}

/** One choice out of few, side by side. */
export function segments(name, label, options, value, choose) {
  return h("div", { class: "segments", role: "radiogroup", "aria-label": label }, options.map(([key, words]) =>
    h("label", {}, h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => choose(key) }), h("span", {}, words))));
}

/** A button that waits for what it started, and says what came of it; shown to those whose role may do it. */
export function action(label, run, { needs = "operator", ...attributes } = {}) {
  const button = h("button", { type: "button", onclick: start, "data-needs": needs, ...attributes }, label);
  async function start() {
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      notice(error.message, [error.detail, error.hint].filter(Boolean).join(" "));
    } finally {
      button.disabled = false;
    }
  }
  return button;
}

/** Ask before something that cannot be taken back. */
export function confirm(question, detail, label, run, keep = "Keep it") {
  const go = action(label, async () => {
    await run();
    box.close();
  }, { class: "primary", needs: null });
  const box = h("dialog", { class: "notice", "aria-label": question },
    h("p", { class: "error-message" }, question), h("p", {}, detail),
    h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => box.close() }, keep), go));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

/** A message that stays until it is read. */
export function notice(message, detail = "") {
  const box = h("dialog", { class: "notice", "aria-label": "Message" },
    h("p", { class: "error-message" }, message),
    detail ? h("p", {}, detail) : null,
    h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")),
  );
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}
