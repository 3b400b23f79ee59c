// The dialog that queues a study again, with another network or other series.

import { get, post } from "./api.js";
import { h } from "./dom.js";
import { SEQUENCES, SEQUENCE_NAMES } from "./format.js";
import { errorBox } from "./parts.js";

/** Ask how, then queue; goes to the new job's page. */
export async function reprocess(study) {
  const [models, found] = await Promise.all([get("/glioloop/models"), get(`/glioloop/studies/${study}`)]);
  const series = found.identification.series ?? [];
  const chosen = found.identification.chosen ?? {};
  const model = select("model", models.map((one) => [one.identity, one.identity + (one.current ? " (in use)" : "")]), models.find((one) => one.current)?.identity);
  const pickers = SEQUENCES.map((name) => [name, select(`series-${name}`, seriesOptions(series), chosen[name] ?? "")]);
  const force = h("input", { type: "checkbox", id: "force", checked: true });
  const reason = h("div", { role: "alert" });
  const dialog = h("dialog", { class: "form", "aria-labelledby": "reprocess-title" },
    h("form", { method: "dialog", onsubmit: (event) => send(event) },
      h("h2", { id: "reprocess-title" }, "Reprocess the study"),
      row("Network", model),
      h("fieldset", {}, h("legend", {}, "Series"), pickers.map(([name, picker]) => row(SEQUENCE_NAMES[name], picker))),
      h("label", { class: "check" }, force, "Run also if the same was done before"),
      reason,
      h("div", { class: "actions end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Close"),
        h("button", { class: "primary", value: "start" }, "Start"))));

  async function send(event) {
    event.preventDefault();
    // A series the node would choose by itself is not named: the job's record then says why it was chosen.
    const named = pickers.filter(([name, picker]) => picker.value && picker.value !== chosen[name]).map(([name, picker]) => [name, picker.value]);
    try {
      const job = await post(`/glioloop/studies/${study}/process`, { force: force.checked, model: model.value || null, series: Object.fromEntries(named) });
      dialog.close();
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      reason.replaceChildren(errorBox(error));
    }
  }

  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function seriesOptions(series) {
  const label = (one) => `${one.series_number ?? ""} ${one.description || one.series_instance_uid}`.trim();
  return [["", "— as identified —"], ...series.map((one) => [one.series_instance_uid, label(one)])];
}

function select(id, options, value) {
  const element = h("select", { id }, options.map(([key, label]) => h("option", { value: key }, label)));
  if (value !== undefined) element.value = value;
  return element;
}

const row = (label, control) => h("div", { class: "field" }, h("label", { for: control.id }, label), control);
