// The loop: how well automatic and reviewed contours agree, every correction, and what was learnt from them.

import { get, post } from "./api.js";
import { card, facts, fill, h, s, say } from "./dom.js";
import { ACTIVE, REGIONS, REGION_LABELS, duration, millilitres, moment, signed } from "./format.js";
import { action, confirm, errorBox, plainTable, segments, statePill } from "./parts.js";
import { LOOKS, mark, plot } from "./plot.js";

/** Corrections listed at once. */
const MOST = 200;

/** The page of the loop. */
export class FeedbackPage {
  constructor() {
    this.region = "WT";
    this.agreement = h("div");
    this.cases = h("div");
    this.learning = h("div");
    this.rest = h("div");
    this.element = h("div", { class: "page wide" }, h("div", { class: "head" }, h("h1", {}, "Feedback"),
      h("p", { class: "muted" }, "What radiologists corrected or accepted, how far it lay from the automatic contours, and what was learnt from it.")),
      h("div", { class: "stack" }, this.agreement, this.cases, this.learning, this.rest));
    // The plot is drawn in the width that there is.
    new ResizeObserver(() => this.draw()).observe(this.agreement);
  }

  async refresh() {
    const [agreement, feedback, runs, models] = await Promise.all([
      get("/glioloop/feedback/agreement"), get(`/glioloop/feedback?limit=${MOST}`), get("/glioloop/finetune"), get("/glioloop/models")]);
    this.show("agreement", agreement, () => this.showAgreement(agreement));
    this.show("cases", [feedback, models.map((one) => one.lineage)], () => fill(this.cases, corrections(feedback, models, this)));
    this.show("learning", [runs, models.map((one) => [one.identity, one.current])], () => fill(this.learning, this.runs(runs, models)));
    this.show("rest", [feedback.looked_at, feedback.dropped], () => fill(this.rest, passedOver(feedback)));
    return runs.some((run) => ACTIVE.has(run.state)) ? 1500 : 6000;
  }

  /** Draw a part anew only where what it shows has changed: the keyboard may be in it. */
  show(part, content, draw) {
    const now = JSON.stringify(content);
    this.shown ??= {};
    if (this.shown[part] === now) return;
    this.shown[part] = now;
    draw();
  }

  // --- agreement ---

  showAgreement({ points, summary }) {
    this.points = points;
    this.models = [...new Set(points.map((one) => one.model))];
    if (!points.length) {
      fill(this.agreement, card("Agreement over time", h("p", { class: "empty" }, "No correction has come back yet. Edit the contours at the workstation and send the structure set to this node.")));
      return;
    }
    this.canvas = h("div", { class: "plot-box" });
    this.table = h("div");
    const picker = segments("region", "Region", REGIONS.map((name) => [name, REGION_LABELS[name]]), this.region, (name) => {
      this.region = name;
      this.draw();
    });
    fill(this.agreement, card("Agreement over time",
      h("div", { class: "toolbar" }, picker, legend(this.models)),
      this.canvas,
      h("p", { class: "muted small" }, "Dice of automatic and reviewed contour: 1 is left as it was. Each mark is a correction in which the region was drawn; the line is the mean of the last 20 of the same network."),
      h("details", {}, h("summary", {}, "The same as a table"), this.table),
      scrolling("Agreement per network and region", plainTable("Agreement per network and region",
        ["Network", "Region", "Cases", "Dice, mean", "Dice, median", "HD95, median", "Left unchanged"], summary.map(summaryRow)))));
    this.draw();
  }

  draw() {
    if (!this.canvas?.isConnected) return;
    const points = this.points.filter((one) => one.region === this.region);
    const name = REGION_LABELS[this.region];
    if (!points.length) {
      fill(this.canvas, h("p", { class: "empty" }, `${name} was drawn in no correction.`));
      fill(this.table);
      return;
    }
    const width = Math.max(280, Math.round(this.canvas.clientWidth));
    const last = points.at(-1);
    const words = `${name}: ${points.length} corrections, the latest with Dice ${last.dice.toFixed(3)}, mean of the last ones ${last.dice_recent.toFixed(3)}. The table below has every figure.`;
    fill(this.canvas, plot(points, this.models, width, words));
    fill(this.table, scrolling(`Corrections of ${name}`, plainTable(`Agreement, ${name}`, ["Received", "Network", "Kind", "Dice", "Mean of the last", "HD95", "Added", "Removed"],
      [...points].reverse().map((one) => [moment(one.at), one.model, one.kind, one.dice.toFixed(3), one.dice_recent.toFixed(3), distance(one.hd95_mm), millilitres(one.added_ml), millilitres(one.removed_ml)]))));
  }

  // --- corrections ---

  async command(path, words, body) {
    await post(path, body);
    say(words);
    this.shown = { ...this.shown, cases: null };
    await this.refresh();
  }

  // --- learning ---

  runs(runs, models) {
    const busy = runs.some((run) => ACTIVE.has(run.state));
    return card("Learning",
      h("p", { class: "muted" }, "A fine-tuned network is a candidate until somebody puts it to use. The guard compares it with the network in use, on corrections that were held back and on a reference set."),
      h("div", { class: "actions" }, busy ? null : action("Fine-tune now", () => this.command("/glioloop/finetune", "A fine-tuning is queued"), { needs: "administrator" })),
      runs.length ? h("ul", { class: "learnt" }, runs.map((run) => this.run(run, models))) : h("p", { class: "muted" }, "Nothing has been learnt yet."));
  }

  run(run, models) {
    const result = run.result;
    const installed = models.find((one) => one.identity === result?.model);
    return h("li", {},
      h("div", { class: "title-row" }, statePill(run.state), h("strong", {}, result?.model ?? "Fine-tuning"),
        result ? verdict(result.decision) : null,
        installed?.current ? h("span", { class: "pill", "data-state": "done" }, "In use") : null,
        h("span", { class: "muted" }, `${moment(run.created)}, ${run.asked_by ? `asked for by ${run.asked_by}` : "by itself"}`),
        ACTIVE.has(run.state) && run.waits_for === "quiet_hours" ? action("Do not wait", () => this.command(`/glioloop/finetune/${run.id}/now`, "The fine-tuning no longer waits for quiet hours"), { needs: "administrator" }) : null,
        ACTIVE.has(run.state) ? action("Cancel", () => this.command(`/glioloop/finetune/${run.id}/cancel`, "The fine-tuning is cancelled"), { class: "danger", needs: "administrator" }) : null),
      ACTIVE.has(run.state) ? progress(run) : null,
      run.error ? errorBox(run.error) : null,
      result ? decision(result) : null);
  }
}

const distance = (mm) => (mm === null || mm === undefined ? "—" : `${mm.toFixed(1)} mm`);
const scrolling = (label, table) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);

function legend(models) {
  return h("ul", { class: "legend", "aria-label": "Networks" }, models.map((model, place) =>
    h("li", {}, s("svg", { width: 14, height: 14, class: `series look-${place % LOOKS}`, "aria-hidden": "true" }, mark(7, 7, place % LOOKS)), model)));
}

const summaryRow = (one) => [one.model, REGION_LABELS[one.region] ?? one.region, String(one.n), one.dice_mean.toFixed(3), one.dice_median.toFixed(3), distance(one.hd95_mm_median), `${Math.round(one.unchanged * 100)} %`];

function corrections(feedback, models, page) {
  const { cases, total, stale } = feedback;
  if (!cases.length) return null;
  const learntIn = (id) => models.filter((one) => one.lineage?.cases?.includes(id)).map((one) => one.identity);
  const rows = cases.map((one) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `#/jobs/${one.job}` }, moment(one.received)), h("div", { class: "muted small" }, `Study ${one.study.slice(0, 6)}, version ${one.id.split("-v")[1]}`)),
    h("td", {}, kindPill(one.kind),
      h("div", { class: "muted small" }, status(one, learntIn(one.id), stale.includes(one.id)))),
    h("td", {}, h("code", { class: "small" }, one.model)),
    REGIONS.map((name) => h("td", { class: "number" }, difference(one.regions[name]))),
    h("td", { class: "row-actions" },
      one.trusted ? null : action(one.kind === "holes_filled" ? "It was meant" : "Trust", () => page.command(`/glioloop/feedback/${one.id}/trust`, "The correction is trusted"), { needs: "administrator" }),
      action("Delete…", () => confirm("Delete this correction?", "It is taken out of the store for good and not taken up again. Networks that learnt from it stay as they are.", "Delete",
        () => page.command(`/glioloop/feedback/${one.id}/delete`, "The correction is deleted")), { class: "danger", needs: "administrator", "aria-label": `Delete the correction of ${moment(one.received)}` }))));
  const head = ["Received", "Review", "Network", ...REGIONS.map((name) => REGION_LABELS[name]), ""];
  return card(total > cases.length ? `Corrections (the latest ${cases.length} of ${total})` : "Corrections",
    scrolling("Table of corrections", h("table", { class: "corrections" },
      h("thead", {}, h("tr", {}, head.map((one) => (one ? h("th", { scope: "col" }, one) : h("td", {}))))), h("tbody", {}, rows))));
}

const KINDS = { accepted: ["done", "Accepted"], corrected: ["running", "Corrected"], holes_filled: ["refused", "Only holes filled"] };

function kindPill(kind) {
  const [state, words] = KINDS[kind];
  return h("span", { class: "pill", "data-state": state }, words);
}

function status(one, learnt, stale) {
  if (one.kind === "holes_filled") return "by somebody, or by the viewer? Not learnt from until somebody says so.";
  const words = [one.trusted ? "trusted" : "not trusted", one.role === "held_back" ? "held back to judge by" : "to learn from"];
  if (one.consensus_of.length) words.unshift(`${stale ? "stale " : ""}consensus of ${one.consensus_of.length} readers`);
  if (learnt.length) words.push(`learnt in ${learnt.join(", ")}`);
  return words.join(", ");
}

/** How a region was changed: agreement, and the volumes added and taken away. */
export function difference(region) {
  if (!region) return "—";
  if (!region.drawn) return h("span", { class: "muted" }, "not drawn");
  return [h("span", {}, `Dice ${region.dice.toFixed(3)}`),
    h("div", { class: "muted small" }, region.added_ml + region.removed_ml ? `${signed(region.added_ml, "+")} ${signed(region.removed_ml, "−")}` : "unchanged")];
}

function progress(run) {
  const bar = h("progress", { max: 1, value: run.progress ?? 0, "aria-label": "Progress of the fine-tuning" });
  const far = run.state === "queued" ? "" : `${run.phase ?? "starting"} ${Math.round((run.progress ?? 0) * 100)} %`;
  const words = [far, waiting(run)].filter(Boolean).join(", ") || "Waiting";
  return h("div", { class: "progress-line" }, bar, h("span", { class: "muted small" }, words));
}

function waiting(run) {
  if (run.waits_for === "quiet_hours") return `waits for quiet hours, from ${moment(run.waits_until)}`;
  return run.waits_for === "jobs" ? "waits for clinical jobs" : "";
}

const verdict = (decision) => h("span", { class: "pill", "data-state": decision.passed ? "done" : "refused" }, decision.passed ? "Passed the guard" : "Held by the guard");

const withSign = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

function decision({ decision: found, parent, learn, held_back: held, phases }) {
  const change = (name, one) => [name, String(one.n), one.before.toFixed(3), one.after.toFixed(3), withSign(one.change), one.ci95.map(withSign).join(" to "), one.p?.toFixed(3) ?? ""];
  const rows = [
    ...(found.corrections ? [change("Held-back corrections", found.corrections)] : []),
    ...Object.entries(found.reference ?? {}).map(([region, one]) => change(`Reference set, ${REGION_LABELS[region] ?? region}`, one))];
  const seconds = Object.values(phases ?? {}).reduce((sum, one) => sum + (one.seconds ?? 0), 0);
  return h("div", {}, h("p", {}, found.reason),
    rows.length ? scrolling("The guard's figures", plainTable("The guard's figures", ["Dice on", "Cases", "In use", "Candidate", "Change", "95 % interval", "p"], rows)) : null,
    facts(["From", parent], ["Learnt from", `${learn?.length ?? 0} corrections`], ["Held back", String(held?.length ?? 0)], ["Took", duration(seconds || null)]),
    h("p", { class: "small" }, h("a", { href: "#/models" }, "Networks: put it to use, or go back")));
}

const VERDICTS = {
  unchanged: "saved anew without a change, approved by nobody",
  known: "the same correction was kept before",
  deleted: "was deleted on purpose",
  rejected: "rejected, and nothing corrected",
  foreign: "drawn on other images, or of another patient",
  images_lacking: "its images are gone or changed; looked at again when the study changes",
  unreadable: "damaged",
  no_region: "no ROI whose name means a region",
  ambiguous: "several versions of a region, and nothing tells which one counts",
};

function passedOver({ looked_at: looked, dropped }) {
  const passed = looked.filter((one) => one.verdict in VERDICTS);
  if (!passed.length && !dropped.length) return null;
  return card("Not kept",
    passed.length ? scrolling("Objects that were not kept", plainTable("Objects that were not kept", ["Looked at", "Why not", "Detail"], passed.map((one) => [moment(one.at), VERDICTS[one.verdict], one.detail || ""]))) : null,
    dropped.length ? h("p", { class: "muted" }, `Deleted or dropped: ${dropped.length}, the last one ${moment(dropped.at(-1).at)}.`) : null);
}
