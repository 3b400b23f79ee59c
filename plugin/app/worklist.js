// The worklist: one row a job, newest first, a page at a time.

import { get } from "./api.js";
import { fill, h, say, text } from "./dom.js";
import { ACTIVE, REVIEW_LABELS, STATE_LABELS, duration, jobSeconds, millilitres, moment } from "./format.js";
import { ProgressLine, sequenceChips, statePill } from "./parts.js";
import { patient, studyLine } from "./patients.js";

const PAGE = 50;
const COLUMNS = ["State", "Patient", "Study", "Sequences", "Tumour", "Flags", "Time", "Review", "Queued"];

class Row {
  constructor(job) {
    this.progress = new ProgressLine();
    this.state = h("td", { class: "state" });
    this.patient = h("a", { class: "patient", href: `#/studies/${job.study}` });
    this.study = h("td", { class: "study" });
    this.sequences = h("td");
    this.tumour = h("td", { class: "number" });
    this.flags = h("td");
    this.time = h("td", { class: "number" });
    this.review = h("td");
    this.queued = h("td", { class: "muted" }, moment(job.created));
    this.element = h("tr", {}, this.state, h("th", { scope: "row" }, this.patient), this.study, this.sequences,
      this.tumour, this.flags, this.time, this.review, this.queued);
    patient(this.patient, job.study);
    studyLine(this.study, job.study);
  }

  update(job) {
    // The reason of a refusal is worth a line; everything else is on the job's page.
    if (this.shown !== `${job.state} ${job.updated}`) {
      const before = this.job?.state;
      if (before && before !== job.state) say(`Job ${STATE_LABELS[job.state]}`);
      fill(this.state, h("a", { href: `#/jobs/${job.id}`, class: "plain", "aria-label": `${STATE_LABELS[job.state]}: open the job` }, statePill(job.state)),
        this.progress.element, job.error ? h("div", { class: "reason small" }, job.error.message) : null);
      fill(this.sequences, sequenceChips(job.sequences));
      text(this.tumour, tumour(job));
      fill(this.flags, flagCell(job));
      this.shown = `${job.state} ${job.updated}`;
    }
    this.job = job;
    this.progress.update(job);
    text(this.review, REVIEW_LABELS[job.review?.state] ?? "");
    this.review.dataset.review = job.review?.state ?? "none";
    text(this.time, duration(jobSeconds(job)));
  }
}

function tumour(job) {
  if (!job.result) return "";
  return job.result.tumour_found ? millilitres(job.result.volumes_ml?.WT) : "none found";
}

function flagCell(job) {
  const flags = job.result?.flags ?? [];
  if (!flags.length) return "";
  const words = flags.map((flag) => flag.message).join("\n");
  return h("span", { class: "flag-count", title: words }, `⚑ ${flags.length}`, h("span", { class: "unseen" }, ` flags: ${words}`));
}

/** The worklist's page. */
export class Worklist {
  constructor(page) {
    this.page = page;
    this.rows = new Map();
    this.body = h("tbody");
    this.range = h("span", { class: "muted" });
    this.previous = h("a", { class: "button", rel: "prev" }, "← Newer");
    this.next = h("a", { class: "button", rel: "next" }, "Older →");
    this.empty = h("p", { class: "empty", hidden: true }, "No jobs yet. Send a brain MRI study to this node; it is taken up when it is stable.");
    this.element = h("div", { class: "page wide" },
      h("div", { class: "title-row" }, h("h1", {}, "Worklist"), this.range, h("nav", { class: "pager", "aria-label": "Pages of the worklist" }, this.previous, this.next)),
      h("div", { class: "scroll card flush", tabindex: 0, role: "region", "aria-label": "Jobs" },
        h("table", { class: "worklist" }, h("thead", {}, h("tr", {}, COLUMNS.map((one) => h("th", { scope: "col" }, one)))), this.body), this.empty));
  }

  async refresh() {
    // One more than is shown tells whether there is a next page.
    const jobs = await get(`/glioloop/jobs?limit=${PAGE + 1}&offset=${this.page * PAGE}`);
    const visible = jobs.slice(0, PAGE);
    this.place(visible);
    this.pager(jobs.length > PAGE, visible.length);
    this.empty.hidden = visible.length > 0;
    return visible.some((job) => ACTIVE.has(job.state)) ? 1500 : 4000;
  }

  place(jobs) {
    const rows = new Map(jobs.map((job) => [job.id, this.rows.get(job.id) ?? new Row(job)]));
    for (const [id, row] of this.rows) if (!rows.has(id)) row.element.remove();
    jobs.forEach((job, place) => {
      const row = rows.get(job.id);
      row.update(job);
      if (this.body.children[place] !== row.element) this.body.insertBefore(row.element, this.body.children[place] ?? null);
    });
    this.rows = rows;
  }

  pager(more, count) {
    text(this.range, count ? `${this.page * PAGE + 1}–${this.page * PAGE + count}` : "");
    link(this.previous, this.page > 0 ? `#/?page=${this.page - 1}` : null);
    link(this.next, more ? `#/?page=${this.page + 1}` : null);
  }
}

function link(anchor, href) {
  if (href) anchor.setAttribute("href", href);
  else anchor.removeAttribute("href");
  if (href) anchor.removeAttribute("aria-disabled");
  else anchor.setAttribute("aria-disabled", "true");
}
