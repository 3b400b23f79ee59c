// The readers of a study: what each drew, how they agree, and their consensus.

import { post } from "./api.js";
import { card, h, say } from "./dom.js";
import { kept } from "./edits.js";
import { REGIONS, REGION_LABELS, millilitres, moment } from "./format.js";
import { action, plainTable } from "./parts.js";

/** Card of a study with several readers; `job` is the result that a consensus goes on from, null where it is past. */
export function readersCard(readers, job, refresh) {
  const { readings, pairs, consensus } = readers ?? {};
  if (!(readings?.length > 1)) return null;
  const drawn = readings.map((one) => [`Reader ${one.number}`, moment(one.received), one.trusted ? "trusted" : "not trusted",
    ...REGIONS.map((name) => (name in one.volumes_ml ? millilitres(one.volumes_ml[name]) : h("span", { class: "muted" }, "not drawn")))]);
  const agreed = pairs.map((pair) => [`${pair.first} and ${pair.second}`,
    ...REGIONS.map((name) => (pair.regions ? between(pair.regions[name]) : h("span", { class: "muted" }, "not compared")))]);
  const low = pairs.flatMap((pair) => REGIONS.filter((name) => pair.regions?.[name]?.low).map((name) => `${REGION_LABELS[name]} of ${pair.first} and ${pair.second}`));
  const labels = REGIONS.map((name) => REGION_LABELS[name]);
  return card("Readers",
    scrolling("What each reader drew", plainTable("What each reader drew", ["Reader", "Received", "Approval", ...labels], drawn)),
    scrolling("Agreement of the readers", plainTable("Agreement of the readers", ["Readers", ...labels], agreed)),
    low.length ? h("p", {}, h("span", { class: "pill", "data-state": "refused" }, "Low agreement"), ` ${low.join("; ")}`) : null,
    standing(consensus),
    job ? buttons(readers, job, refresh) : null);
}

const scrolling = (label, table) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);

function between(region) {
  if (!region) return h("span", { class: "muted" }, "not drawn by both");
  const distance = region.hd95_mm === null ? null : `HD95 ${region.hd95_mm.toFixed(1)} mm`;
  const volume = `${region.difference_ml < 0 ? "−" : "+"}${millilitres(Math.abs(region.difference_ml))}`;
  return [h("span", {}, `Dice ${region.dice.toFixed(3)}`, region.low ? h("strong", {}, " low") : null),
    h("div", { class: "muted small" }, [distance, volume].filter(Boolean).join(", "))];
}

function standing(consensus) {
  if (!consensus) return h("p", { class: "muted small" }, "No consensus yet: the latest correction counts.");
  const of = `Consensus of ${consensus.consensus_of.length} readers, ${moment(consensus.received)}`;
  if (consensus.stale) return h("p", {}, h("span", { class: "pill", "data-state": "refused" }, "Stale"), ` ${of}: a reader has drawn since. It is not learnt from; the latest correction counts.`);
  return h("div", {}, h("p", {}, h("span", { class: "pill", "data-state": "done" }, "Current"), ` ${of}, ${consensus.trusted ? "trusted" : "not trusted: look at it, then accept it"}.`),
    h("ul", { class: "small" }, consensus.notes.map((note) => h("li", {}, note))));
}

function buttons({ readings, consensus }, job, refresh) {
  const status = h("span", { class: "muted small", role: "status" });
  const ask = async (accept) => {
    const sent = await post(`/glioloop/jobs/${job.id}/consensus`, { readings: readings.map((one) => one.case), accept });
    status.textContent = "The consensus is being made…";
    try {
      await kept(`/glioloop/jobs/${job.id}/edits/${sent.id}`, () => {});
    } finally {
      status.textContent = "";
    }
    say("The consensus is kept as a correction");
    await refresh();
  };
  const current = consensus && !consensus.stale;
  if (current && consensus.trusted) return null;
  return h("div", { class: "actions" },
    current ? action("Accept the consensus", () => ask(true)) : action(`Consensus of ${readings.length} readers`, () => ask(false)), status);
}
