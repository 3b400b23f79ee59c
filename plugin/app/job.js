// One job: what it did, how long each stage took, why it ended as it did.

import { explorer, get, post } from "./api.js";
import { card, facts, fill, h, say } from "./dom.js";
import { ACTIVE, ORIGIN_LABELS, RETRIABLE, SEQUENCES, SEQUENCE_LABELS, STAGES, STAGE_LABELS, STATE_LABELS, duration, jobSeconds, moment } from "./format.js";
import { ProgressLine, action, errorBox, flagList, plainTable, putOff, seriesTable, statePill } from "./parts.js";
import { patient, studyLine } from "./patients.js";
import { reprocess } from "./reprocess.js";

/** A job's page. */
export class JobPage {
  constructor(id) {
    this.id = id;
    this.progress = new ProgressLine();
    this.head = h("div", { class: "head" });
    this.main = h("div", { class: "stack" });
    this.side = h("div", { class: "stack" });
    this.log = h("div");
    this.series = h("div");
    this.element = h("div", { class: "page" }, this.head, this.progress.element, h("div", { class: "columns" }, this.main, this.side), h("div", { class: "stack" }, this.series, this.log));
  }

  async refresh() {
    const job = await get(`/glioloop/jobs/${this.id}`);
    this.progress.update(job);
    if (this.shown !== job.updated + job.state + job.stage + job.progress) {
      if (this.state && this.state !== job.state) say(`The job is ${STATE_LABELS[job.state].toLowerCase()}`);
      this.show(job);
      fill(this.log, logCard(await get(`/glioloop/jobs/${this.id}/log`)));
      this.shown = job.updated + job.state + job.stage + job.progress;
      this.state = job.state;
    }
    if (!this.identified) await this.identify(job);
    return ACTIVE.has(job.state) ? 1000 : 6000;
  }

  show(job) {
    // What the pointer or the keyboard is on stays where it is unless the state has changed.
    if (this.state !== job.state) fill(this.head, ...this.headOf(job));
    fill(this.main, job.error ? card("Reason", errorBox(job.error)) : null, stages(job), job.result ? card("Quality flags", flagList(job.result.flags)) : null);
    fill(this.side, about(job), deliveries(job, () => this.refresh()), alignment(job));
  }

  headOf(job) {
    const name = patient(h("span"), job.study);
    const line = h("p", { class: "muted" });
    studyLine(line, job.study);
    return [
      h("div", { class: "title-row" }, h("h1", {}, "Job of ", name), statePill(job.state), job.waits_until ? h("span", { class: "muted small" }, putOff(job)) : null),
      line,
      h("div", { class: "actions" },
        h("a", { class: job.result ? "button primary" : "button", href: `#/studies/${job.study}/${job.id}` }, job.result ? "Open the result" : "Open the study"),
        ACTIVE.has(job.state) ? action("Cancel", () => this.command("cancel"), { class: "danger" }) : null,
        RETRIABLE.has(job.state) ? action("Retry", () => this.command("retry")) : null,
        action("Reprocess…", () => reprocess(job.study)),
        h("a", { class: "button", href: explorer(job.study) }, "Orthanc Explorer")),
    ];
  }

  async command(name) {
    await post(`/glioloop/jobs/${this.id}/${name}`);
    await this.refresh();
  }

  async identify(job) {
    this.identified = true;
    const said = job.error?.data?.series ?? job.result?.identification?.series;
    try {
      const { identification } = await get(`/glioloop/studies/${job.study}`);
      const series = said ?? identification.series;
      fill(this.series, card("Series", series ? seriesTable(series) : errorBox(identification.error)));
    } catch (error) {
      fill(this.series, card("Series", errorBox(error)));
    }
  }
}

function stages(job) {
  const timings = job.timings_s ?? {};
  const longest = Math.max(...Object.values(timings), 0.001);
  const total = Object.values(timings).reduce((sum, one) => sum + one, 0);
  const rows = STAGES.map((stage) => stageRow(job, stage, timings[stage], longest));
  return card("Stages", h("ol", { class: "stages" }, rows), total ? h("p", { class: "muted small total" }, `${duration(total)} of work in all`) : null);
}

function stageRow(job, stage, seconds, longest) {
  const here = job.stage === stage && seconds === undefined;
  const status = seconds !== undefined ? "done" : here && job.state === "running" ? "running" : here && RETRIABLE.has(job.state) ? "ended" : "waiting";
  const bar = h("span", { class: "bar-fill" });
  bar.style.width = `${seconds === undefined ? (status === "running" ? job.progress * 100 : 0) : Math.max(0.6, (100 * seconds) / longest)}%`;
  const words = { done: duration(seconds), running: `${Math.round(job.progress * 100)} %`, ended: STATE_LABELS[job.state].toLowerCase(), waiting: "" };
  return h("li", { "data-status": status, "aria-current": status === "running" ? "step" : null },
    h("span", {}, STAGE_LABELS[stage]), h("span", { class: "bar-track", "aria-hidden": "true" }, bar), h("span", { class: "number" }, words[status]));
}

function about(job) {
  return card("Job", facts(
    ["Network", h("code", {}, job.model)],
    ["Started by", ORIGIN_LABELS[job.origin] ?? job.origin],
    ["Queued", moment(job.created)],
    ["Updated", moment(job.updated)],
    ["Time", duration(jobSeconds(job))],
    ["Taken up", job.attempts > 1 ? `${job.attempts} times` : null],
    ["Brain", job.result?.brain_ml ? `${Math.round(job.result.brain_ml)} ml` : null],
    ["Uncertainty", job.result?.uncertainty?.toFixed(3)],
    ["Computed by", job.result?.provider],
    ["Id", h("code", { class: "small" }, job.id)],
  ));
}

/** As in pipeline/jobs/deliveries.py. */
const DELIVERY_AGAIN = new Set(["waiting", "committing", "late", "failed", "uncommitted", "cancelled"]);
const DELIVERY_OPEN = new Set(["queued", "running", "waiting", "committing", "late"]);
const LEVELS = { warning: "refused", error: "failed", info: "done" };

/** The workers' lines about this job; what is not known here by name follows as it was written. */
function logCard(lines) {
  if (!lines.length) return null;
  const rows = lines.map(({ timestamp, level, event, stage, seconds, ...rest }) => h("tr", { "data-level": LEVELS[level] ?? "done" },
    h("td", { class: "number muted" }, moment(timestamp)),
    h("th", { scope: "row" }, [event, STAGE_LABELS[stage]?.toLowerCase()].filter(Boolean).join(": ")),
    h("td", { class: "number" }, seconds === undefined ? "" : duration(seconds)),
    h("td", { class: "small break" }, Object.entries(rest).filter(([, value]) => value !== "" && value !== null).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "))));
  return card("Log", h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Log of the job" },
    h("table", { class: "log", "aria-label": "Log" }, h("thead", {}, h("tr", {}, ["Time", "What", "Took", "Detail"].map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, rows))));
}

function deliveries(job, refresh) {
  const entries = Object.entries(job.deliveries ?? {});
  if (!entries.length) return null;
  const state = (one) => [one.state, one.attempts > 1 ? `after ${one.attempts} tries` : "", one.committed ? "and committed" : "", one.next_in_seconds ? `next ${one.committed === false ? "look" : "try"} in ${duration(one.next_in_seconds)}` : "", one.replaced_by ? `sent to ${one.replaced_by} instead` : ""].filter(Boolean).join(", ");
  const command = async (name, what) => { await post(`/glioloop/jobs/${job.id}/deliveries/${name}/${what}`); await refresh(); };
  const buttons = (name, one) => h("span", { class: "actions" },
    DELIVERY_AGAIN.has(one.state) ? action("Send again", () => command(name, "retry"), { "aria-label": `Send again to ${name}` }) : null,
    DELIVERY_OPEN.has(one.state) ? action("Stop", () => command(name, "cancel"), { class: "danger", "aria-label": `Stop sending to ${name}` }) : null);
  const told = (one) => one.error ? h("span", { class: "small break" }, one.error.detail || one.error.message) : "";
  return card("Delivery", plainTable("Delivery", ["Destination", "State", "Time", "Last error", ""], entries.map(([name, one]) => [name, state(one), duration(one.seconds), told(one), buttons(name, one)])), history(job));
}

/** Every try of every delivery, asked for when it is opened. */
function history(job) {
  const list = h("div");
  const more = h("details", {}, h("summary", {}, "Every try"), list);
  more.addEventListener("toggle", async () => {
    if (!more.open) return;
    const found = await get(`/glioloop/jobs/${job.id}/deliveries`);
    fill(list, plainTable("Every try", ["Destination", "Ended", "State", "Error"], found.flatMap(({ destination, events }) => events.map((one) => [destination, moment(one.ended), one.state, one.error?.detail ?? ""]))));
  });
  return more;
}

function alignment(job) {
  const found = job.result?.alignment;
  if (!found) return null;
  const rows = SEQUENCES.filter((name) => found[name]).map((name) => [
    SEQUENCE_LABELS[name] + (name === job.result.reference ? " (reference)" : ""),
    `${found[name].rotation_deg.toFixed(1)}°`, `${found[name].displacement_mm.toFixed(1)} mm`, `${Math.round(found[name].overlap * 100)} %`]);
  return card("Alignment", plainTable("Alignment", ["Sequence", "Rotation", "Shift", "Overlap"], rows));
}
