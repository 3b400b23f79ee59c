// The worklist: one row a job, searched and sorted by the node, a page at a time.

import { get, post, root } from "./api.js";
import { fill, h, say, text } from "./dom.js";
import { Filters } from "./filters.js";
import { ACTIVE, REVIEW_LABELS, STATE_LABELS, duration, jobSeconds, millilitres, moment } from "./format.js";
import { ProgressLine, confirm, notice, putOff, sequenceChips, statePill } from "./parts.js";
import { patient, shown as namesShown, studyLine } from "./patients.js";

const PAGE = 50;
/** What no rule or person put before others. */
const USUAL_PRIORITY = 100;
const COLUMNS = ["State", "Patient", "Study", "Sequences", "Tumour", "Flags", "Time", "Review", "Queued"];

export class Row {
  constructor(job) {
    this.progress = new ProgressLine();
    this.link = h("a", { href: `#/jobs/${job.id}`, class: "plain" });
    this.reason = h("div", { class: "reason small", hidden: true });
    this.state = h("td", { class: "state" }, this.link, this.progress.element, this.reason);
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
    const shown = `${job.state} ${job.updated} ${job.waits_until}`;
    if (this.shown !== shown) {
      const before = this.job?.state;
      if (before && before !== job.state) say(`Job ${STATE_LABELS[job.state]}`);
      const urgent = job.priority !== null && job.priority < USUAL_PRIORITY;
      fill(this.link, statePill(job.state), urgent ? h("span", { class: "urgent" }, "Urgent") : null);
      this.link.setAttribute("aria-label", `${STATE_LABELS[job.state]}${urgent ? ", urgent" : ""}: open the job`);
      this.element.classList.toggle("first", urgent);
      text(this.reason, job.error?.message ?? putOff(job));
      this.reason.hidden = !this.reason.textContent;
      fill(this.sequences, sequenceChips(job.sequences));
      text(this.tumour, tumour(job));
      fill(this.flags, flagCell(job));
      this.shown = shown;
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
  constructor(query) {
    const given = new URLSearchParams(query ?? "");
    this.page = Math.max(0, Math.floor(Number(given.get("page"))) || 0);
    this.filters = new Filters(given, () => this.search());
    this.rows = new Map();
    this.body = h("tbody");
    this.range = h("span", { class: "muted" });
    this.previous = h("a", { class: "button", rel: "prev" });
    this.next = h("a", { class: "button", rel: "next" });
    this.retry = h("button", { type: "button", hidden: true, "data-needs": "operator", onclick: () => this.retryFailed() });
    this.csv = h("a", { class: "button", download: "worklist.csv" }, "CSV");
    this.empty = h("p", { class: "empty", hidden: true });
    this.element = h("div", { class: "page wide" },
      h("div", { class: "title-row" }, h("h1", {}, "Worklist"), this.range, this.retry, this.csv, h("nav", { class: "pager", "aria-label": "Pages of the worklist" }, this.previous, this.next)),
      this.filters.element,
      h("div", { class: "scroll card flush", tabindex: 0, role: "region", "aria-label": "Jobs" },
        h("table", { class: "worklist" }, h("thead", {}, h("tr", {}, COLUMNS.map((one) => h("th", { scope: "col" }, one)))), this.body), this.empty));
  }

  /** A filter was set: the first page of what it finds. */
  async search() {
    this.page = 0;
    history.replaceState(null, "", this.address(0));
    try {
      await this.refresh();
      say(`${this.counts.total} jobs`);
    } catch (error) {
      notice(error.message, [error.detail, error.hint].filter(Boolean).join(" "));
    }
  }

  async refresh() {
    const asked = this.asked = (this.asked ?? 0) + 1;
    const query = this.filters.query();
    const list = new URLSearchParams(query);
    list.set("sort", this.filters.sort);
    const [jobs, counts] = await Promise.all([
      get(`/glioloop/jobs?${list}&limit=${PAGE}&offset=${this.page * PAGE}`), get(`/glioloop/jobs/counts?${query}`)]);
    if (asked !== this.asked) return 1500; // something else was searched for meanwhile
    this.counts = counts;
    this.place(jobs);
    this.filters.count(counts);
    this.pager(counts.total, jobs.length);
    this.tools(query, counts);
    text(this.empty, query.size ? "No job matches." : "No jobs yet. Send a brain MRI study to this node; it is taken up when it is stable.");
    this.empty.hidden = jobs.length > 0;
    return jobs.some((job) => ACTIVE.has(job.state)) ? 1500 : 4000;
  }

  place(jobs) {
    const focus = document.activeElement;
    const rows = new Map(jobs.map((job) => [job.id, this.rows.get(job.id) ?? new Row(job)]));
    for (const [id, row] of this.rows) if (!rows.has(id)) row.element.remove();
    jobs.forEach((job, place) => {
      const row = rows.get(job.id);
      row.update(job);
      if (this.body.children[place] !== row.element) this.body.insertBefore(row.element, this.body.children[place] ?? null);
    });
    this.rows = rows;
    // A row that has changed places keeps the focus.
    if (focus !== document.activeElement && this.body.contains(focus)) focus.focus({ preventScroll: true });
  }

  pager(total, count) {
    const first = this.page * PAGE;
    text(this.range, count ? `${first + 1}–${first + count} of ${total}` : "");
    const dated = ["date", "urgent"].includes(this.filters.sort);
    text(this.previous, dated ? "← Newer" : "← Previous");
    text(this.next, dated ? "Older →" : "Next →");
    link(this.previous, this.page > 0 ? this.address(this.page - 1) : null);
    link(this.next, first + count < total ? this.address(this.page + 1) : null);
  }

  tools(query, counts) {
    const wanted = new URLSearchParams(query);
    if (namesShown()) wanted.set("names", "true");
    this.csv.href = `${root}/glioloop/jobs.csv?${wanted}`;
    const failed = counts.states.failed ?? 0;
    text(this.retry, `Retry ${failed} failed…`);
    this.retry.hidden = !failed;
  }

  retryFailed() {
    const failed = this.counts.states.failed;
    confirm(`Run ${failed} failed job${failed === 1 ? "" : "s"} again?`, "Those that the filters find, 500 at a time; each goes on from the stage that did not succeed.", "Retry", async () => {
      const { retried, refused } = await post("/glioloop/jobs/retry", { ...this.filters.options(), state: "failed" });
      const others = Object.keys(refused).length;
      say(`${retried.length} jobs queued again${others ? `, ${others} not` : ""}`);
      await this.refresh();
    });
  }

  address(page) {
    const query = this.filters.query();
    if (page) query.set("page", page);
    return query.size ? `#/?${query}` : "#/";
  }
}

function link(anchor, href) {
  if (href) anchor.setAttribute("href", href);
  else anchor.removeAttribute("href");
  if (href) anchor.removeAttribute("aria-disabled");
  else anchor.setAttribute("aria-disabled", "true");
}
