// One study: the result on its slices, volumes, which series was taken for what, and every run.

import { explorer, get, post, root } from "./api.js";
import { card, facts, fill, h, say } from "./dom.js";
import { difference } from "./feedback.js";
import { ACTIVE, REGIONS, REGION_LABELS, RESULT_REGIONS, REVIEW_LABELS, STATE_LABELS, duration, jobSeconds, millilitres, moment } from "./format.js";
import { ProgressLine, action, errorBox, flagList, plainTable, seriesTable, statePill } from "./parts.js";
import { patient, patientOf, studyLine } from "./patients.js";
import { readersCard } from "./readers.js";
import { reprocess } from "./reprocess.js";
import { SliceBrowser } from "./slices.js";

/** A study's page; of several results the one asked for, else the latest. */
export class StudyPage {
  constructor(study, job, surroundings) {
    this.study = study;
    this.wanted = job;
    this.surroundings = surroundings;
    this.progress = new ProgressLine();
    this.main = h("div", { class: "stack" });
    this.side = h("div", { class: "stack" });
    this.below = h("div", { class: "stack" });
    this.head = h("div", { class: "head" });
    this.element = h("div", { class: "page wide" }, this.head, this.progress.element, h("div", { class: "columns result" }, this.main, this.side), this.below);
  }

  async refresh() {
    const found = await get(`/glioloop/studies/${encodeURIComponent(this.study)}`);
    const jobs = found.jobs;
    const running = jobs.find((job) => ACTIVE.has(job.state));
    this.progress.element.hidden = !running;
    if (running) this.progress.update(running);
    const result = jobs.find((job) => job.id === this.wanted && job.result) ?? jobs.find((job) => job.result);
    const shown = JSON.stringify([jobs.map((job) => [job.id, job.state]), result?.id, found.stable, found.review]);
    if (shown !== this.shown) {
      if (this.shown) say("The study has changed");
      this.shown = shown;
      await this.show(found, result);
    }
    return running ? 1200 : 6000;
  }

  async show(found, result) {
    const { viewer, editor, user } = await this.surroundings();
    const mayDraw = user.role !== "reader";
    fill(this.head, ...this.headOf(found, viewerLink(viewer, found, result), result?.result.rtstruct ? viewerLink(editor, found, result) : ""));
    fill(this.side, result ? volumes(result) : null, result ? card("Quality flags", flagList(result.result.flags)) : null, this.review(found, result), runs(found.jobs, result?.id));
    const { series, error } = found.identification;
    fill(this.below, readersCard(found.review?.readers, isLatest(found, result) ? result : null, () => this.refresh()), card("Series", series ? seriesTable(series) : errorBox(error)));
    const correction = correctionOf(found, result);
    const editable = mayDraw && mayEdit(found, result);
    // The slice browser keeps its place while nothing that it shows has changed, and while somebody edits in it.
    const drawn = `${result?.id} ${correction?.id} ${editable}`;
    if ((drawn !== this.drawn || !result) && !this.browser?.brush) {
      this.drawn = drawn;
      this.browser = null;
      fill(this.main, result ? await this.picture(result, correction, editable) : noResult(found.jobs));
      if (result && !mayDraw) this.main.firstChild.append(h("p", { class: "muted small", "data-role": user.role }, "You may look, and change nothing: your role here is reader."));
    }
  }

  /** Whether edits would be lost if the page were left. */
  get unsaved() {
    return Boolean(this.browser?.brush?.unsaved);
  }

  async picture(job, correction, editable) {
    try {
      this.browser = await SliceBrowser.of(job, correction, editable ? (saved) => this.edited(saved) : null);
      return card("Contours", this.browser.element);
    } catch (error) {
      if (error.code !== "JOB_UNKNOWN") return card("Contours", errorBox(error));
      const image = h("img", { class: "preview", src: `${root}/glioloop/jobs/${job.id}/preview.png`, alt: "Picture of the result with its contours" });
      return card("Contours", image);
    }
  }

  /** Edit mode was left: what has changed meanwhile is shown now. */
  async edited(saved) {
    this.shown = null;
    await this.refresh();
    if (!saved) return;
    this.browser?.editButton?.focus();
    say("The edit is kept as a correction");
  }

  headOf(found, link, editorLink) {
    const line = h("p", { class: "muted" });
    studyLine(line, found.study);
    const name = patient(h("span"), found.study);
    const course = h("a", { class: "button", hidden: true }, "Course");
    patientOf(found.study).then((id) => { course.href = `#/patients/${id}/${found.study}`; course.hidden = false; }, () => {});
    return [
      h("h1", {}, name),
      line,
      h("div", { class: "actions" },
        found.jobs.length ? null : action("Segment tumour", () => this.segment(), { class: "primary" }),
        action("Reprocess…", () => reprocess(found.study)),
        course,
        link ? h("a", { class: "button", href: link, target: "_blank", rel: "noopener" }, "Viewer") : null,
        editorLink ? h("a", { class: "button", "data-needs": "operator", href: editorLink, target: "_blank", rel: "noopener" }, "Edit in viewer") : null,
        h("a", { class: "button", href: explorer(found.study) }, "Orthanc Explorer")),
    ];
  }

  /** Review state of the result that is shown, and what a correction changed. */
  review(found, result) {
    if (!result) return null;
    const correction = correctionOf(found, result);
    const latest = isLatest(found, result);
    const { state, decision, error } = result.review ?? {};
    if (!correction) {
      return card("Review",
        facts(["State", REVIEW_LABELS[state] ?? "not reviewed"], ["By", decision?.by], ["At", decision && moment(decision.at)], ["Reason", decision?.reason]),
        error ? errorBox(error) : null,
        latest && state !== "accepted" ? h("div", { class: "actions" },
          action("Accept", () => this.accept(result), { class: "primary" }),
          action(state === "sent_back" ? "Change the reason…" : "Send back…", () => sendBack((reason) => post(`/glioloop/jobs/${result.id}/send-back`, { reason }), () => this.refresh()))) : null,
        latest ? null : h("p", { class: "muted small" }, "A later result has taken the place of this one."));
    }
    const rows = REGIONS.filter((name) => correction.regions[name]).map((name) => [
      REGION_LABELS[name], millilitres(correction.regions[name].automatic_ml), millilitres(correction.regions[name].corrected_ml), difference(correction.regions[name])]);
    return card("Review",
      facts(["State", REVIEW_LABELS[correction.kind]], ["Of", correction.consensus_of.length ? `consensus of ${correction.consensus_of.length} readers` : null], ["By", decision?.by], ["Received", moment(correction.received)], ["Approval", correction.approval?.toLowerCase()],
        ["Trusted", correction.trusted ? "yes" : "no: not learnt from"], ["Drawn on", correction.drawn_on?.join(", ")]),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Automatic and corrected" },
        plainTable("Automatic and corrected", ["Region", "Automatic", "Corrected", "Difference"], rows)),
      correction.kind === "holes_filled" ? h("p", {}, "Only holes of the automatic contours are filled. Some viewers do that to any contour they store: not learnt from until somebody says that it was meant.") : null,
      correction.trusted ? null : h("div", { class: "actions" },
        action(correction.kind === "holes_filled" ? "It was meant" : "Trust this correction", () => this.judge(correction, "trust"), { needs: "administrator" }),
        correction.kind === "holes_filled" ? action("It was the viewer", () => this.judge(correction, "delete"), { needs: "administrator" }) : null));
  }

  /** Trust a correction, or delete it: then the automatic contours are to be reviewed again. */
  async judge(correction, verb) {
    await post(`/glioloop/feedback/${correction.id}/${verb}`);
    await this.refresh();
  }

  async accept(result) {
    await post(`/glioloop/jobs/${result.id}/accept`);
    await this.refresh();
  }

  async segment() {
    await post(`/glioloop/studies/${this.study}/process`);
    await this.refresh();
  }
}

/** Ask why contours are sent back, then do it. */
function sendBack(run, done) {
  const reason = h("textarea", { id: "send-back-reason", rows: 4, maxlength: 1000, required: true });
  const failure = h("div", { role: "alert" });
  const box = h("dialog", { class: "form", "aria-labelledby": "send-back-title" }, h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await run(reason.value);
      box.close();
      await done();
    } catch (error) {
      fill(failure, errorBox(error));
    }
  } }, h("h2", { id: "send-back-title" }, "Send the contours back"),
  h("label", { for: "send-back-reason" }, "Reason, kept with the result and shown"), reason, failure,
  h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => box.close() }, "Keep them"), h("button", { class: "primary" }, "Send back"))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

/** Address of the configured viewer for this study, with the result's structure set where it can show one. */
function viewerLink(template, found, result) {
  return template
    .replace("{study}", encodeURIComponent(found.study_instance_uid))
    .replace("{rtstruct}", encodeURIComponent(result?.result.rtstruct?.series_instance_uid ?? ""));
}

/** Whether a result's contours are the latest ones, and not accepted. */
const mayEdit = (found, result) => result?.review?.state !== "accepted" && isLatest(found, result);

const isLatest = (found, result) => Boolean(result) && found.jobs.find((job) => job.result?.objects?.rtstruct)?.id === result.id;

/** The latest correction of a result's contours. */
const correctionOf = (found, result) => found.review?.feedback?.find((one) => one.job === result?.id);

function noResult(jobs) {
  const last = jobs[0];
  if (last?.error) return card("Reason", errorBox(last.error), h("p", {}, h("a", { href: `#/jobs/${last.id}` }, "Open the job")));
  return card("Contours", h("p", { class: "muted" }, last ? "No result yet." : "This study has not been processed."));
}

function volumes(job) {
  const { result } = job;
  const preview = h("a", { href: `${root}/glioloop/jobs/${job.id}/preview.png`, target: "_blank", rel: "noopener" }, "Picture for the record");
  const there = RESULT_REGIONS.filter((region) => region in (result.volumes_ml ?? {}) && (result.tumour_found || !REGIONS.includes(region)));
  return card("Volumes",
    result.tumour_found ? null : h("p", {}, "No tumour was found by the network. This does not exclude one."),
    there.length
      ? h("table", { class: "volumes" }, h("thead", {}, h("tr", {}, ["Region", "Volume", "In plane"].map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, there.map((region) => volumeRow(region, result))))
      : null,
    facts(["Network", h("code", {}, job.model)], ["Made", moment(job.updated)], ["Brain", result.brain_ml ? `${Math.round(result.brain_ml)} ml` : null]),
    h("p", { class: "small" }, preview, " · ", h("a", { href: `#/jobs/${job.id}` }, "Job")));
}

function volumeRow(region, result) {
  const size = result.sizes?.[region] ?? {};
  return h("tr", {}, h("th", { scope: "row" }, h("span", { class: "swatch", "data-region": region }), REGION_LABELS[region]),
    h("td", { class: "number" }, millilitres(result.volumes_ml[region])),
    h("td", { class: "number" }, size.long_axis_mm ? `${Math.round(size.long_axis_mm)} × ${Math.round(size.short_axis_mm)} mm` : "—"));
}

function runs(jobs, shown) {
  if (!jobs.length) return null;
  return card("Runs", h("ul", { class: "runs" }, jobs.map((job) =>
    h("li", { "aria-current": job.id === shown ? "true" : null },
      h("a", { href: job.result ? `#/studies/${job.study}/${job.id}` : `#/jobs/${job.id}`, "aria-label": `${STATE_LABELS[job.state]}, ${moment(job.created)}` }, moment(job.created)),
      statePill(job.state), h("code", { class: "small" }, job.model), h("span", { class: "muted small" }, duration(jobSeconds(job)))))));
}
