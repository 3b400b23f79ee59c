// The node: queue, workers, archive, destinations.

import { get, getAnyway } from "./api.js";
import { card, facts, fill, h } from "./dom.js";
import { duration, moment } from "./format.js";
import { plainTable, statePill } from "./parts.js";

/** The page of the node's health. */
export class NodePage {
  constructor() {
    this.content = h("div", { class: "stack" });
    this.element = h("div", { class: "page" }, h("h1", {}, "Node"), this.content);
  }

  async refresh() {
    const [health, system, statistics, modalities, routed, notified] = await Promise.all([getAnyway("/glioloop/health"), get("/system"), get("/statistics"), get("/modalities?expand"), getAnyway("/glioloop/destinations"), getAnyway("/glioloop/notifications?limit=20")]);
    const shown = JSON.stringify([health, system, statistics, modalities, routed, notified]);
    if (shown !== this.shown) {
      this.shown = shown;
      fill(this.content, h("div", { class: "columns even" }, queue(health), archive(system, statistics)), workers(health), destinations(routed.destinations), told(notified), known(modalities));
    }
    return 3000;
  }
}

function queue(health) {
  return card("Work", facts(
    ["State", h("span", { class: "pill", "data-state": health.status === "ok" ? "done" : "failed" }, health.status === "ok" ? "Well" : "Degraded")],
    ["Queue", health.queue],
    ["Jobs waiting or at work", health.waiting === null || health.waiting === undefined ? "unknown" : String(health.waiting)],
    ["GlioLoop", health.version],
  ));
}

function archive(system, statistics) {
  return card("Archive", facts(
    ["Orthanc", system.Version],
    ["AE title", `${system.DicomAet} on port ${system.DicomPort}`],
    ["Studies", statistics.CountStudies.toLocaleString()],
    ["Instances", statistics.CountInstances.toLocaleString()],
    ["On disk", `${Number(statistics.TotalDiskSizeMB).toLocaleString()} MB`],
  ));
}

function workers(health) {
  const rows = (health.workers ?? []).map((one, number) => [
    `Worker ${number + 1}`,
    one.pid ? statePillOf("done", "Runs") : statePillOf("failed", one.waiting_seconds ? `Starts again in ${duration(one.waiting_seconds)}` : "Down"),
    one.pid ? String(one.pid) : "",
    String(one.restarts),
    one.last_exit === null || one.last_exit === undefined ? "" : String(one.last_exit)]);
  return card("Workers", rows.length ? plainTable("Workers", ["Worker", "State", "Process", "Restarts", "Last exit"], rows) : h("p", { class: "muted" }, "Workers run on other hosts."));
}

function statePillOf(state, label) {
  const pill = statePill(state);
  pill.textContent = label;
  return pill;
}

function destinations(listed) {
  const rows = (listed ?? []).map(({ name, kind, send, alternate, standing }) => [
    name, kind + (alternate ? `, else ${alternate}` : ""), send.join(", "), String(standing.waiting), String(standing.running), String(standing.failed), moment(standing.latest), standing.error?.detail ?? ""]);
  return card("Destinations", rows.length ? plainTable("Destinations", ["Name", "Kind", "Gets", "Waiting", "At work", "Failed", "Latest delivery", "Last error"], rows) : h("p", { class: "muted" }, "Results stay here."));
}

function told(notified) {
  if (!Array.isArray(notified) || !notified.length) return null;
  return card("Told", plainTable("Told", ["Channel", "What", "When", "State", "Tries", "Last error"], notified.map((one) => [one.channel, one.event, moment(one.at), one.state, String(one.attempts), one.error?.detail ?? ""])));
}

function known(modalities) {
  const rows = Object.entries(modalities ?? {}).map(([name, one]) => [name, one.AET ?? one[0] ?? "", `${one.Host ?? one[1] ?? ""}:${one.Port ?? one[2] ?? ""}`]);
  return card("DICOM modalities", rows.length ? plainTable("DICOM modalities", ["Name", "AE title", "Address"], rows) : h("p", { class: "muted" }, "None configured."));
}
