// The networks: their cards, what was measured on them, and which one is in use.

import { get, post } from "./api.js";
import { facts, fill, h, say } from "./dom.js";
import { REGIONS, RESULT_REGIONS, SEQUENCE_LABELS } from "./format.js";
import { action, plainTable } from "./parts.js";

const USES = { tuning: "tuning: choices were made by it", validation: "validation", synthetic: "synthetic cases" };

/** The page of networks. */
export class ModelsPage {
  constructor() {
    this.list = h("div", { class: "stack" });
    this.element = h("div", { class: "page" },
      h("div", { class: "title-row" }, h("h1", {}, "Networks"), h("span", { class: "spring" }), action("Go back to the one before", () => this.rollback(), { needs: "administrator" })),
      h("p", { class: "muted" }, "The next job uses the network in use; every object names the one that made it."), this.list);
  }

  async refresh() {
    const models = await get("/glioloop/models");
    const shown = JSON.stringify(models);
    if (shown !== this.shown) {
      this.shown = shown;
      fill(this.list, models.length ? models.map((card) => this.card(card)) : h("p", { class: "empty" }, "No network is installed: ./glioloop models import FOLDER"));
    }
    return 5000;
  }

  card(card) {
    const title = `model-${card.identity.replace(/[^A-Za-z0-9]+/g, "-")}`;
    const learnt = card.lineage?.cases?.length; // a shipped network has a parent, too, but no corrections and no guard
    return h("article", { class: "card model", "aria-labelledby": title, "data-current": card.current },
      h("div", { class: "title-row" }, h("h2", { id: title }, card.identity),
        learnt && !card.current ? h("span", { class: "pill", "data-state": "queued" }, "Candidate") : null, h("span", { class: "spring" }),
        card.current ? h("span", { class: "pill", "data-state": "done" }, "In use") : action("Use this one", () => this.promote(card), { class: "primary", needs: "administrator" })),
      h("p", {}, card.description),
      learnt ? h("p", {}, h("strong", {}, "Guard: "), card.lineage.decision || "has not judged it.", h("span", { class: "muted small" }, ` Fine-tuned from ${card.lineage.parent} on ${learnt} corrections.`)) : null,
      card.lineage && !learnt ? h("p", { class: "muted small" }, `Trained on from ${card.lineage.parent}.`) : null,
      metrics(card.metrics ?? []),
      card.limitations?.length ? h("div", { class: "limits" }, h("h3", {}, "What it cannot do"), h("ul", {}, card.limitations.map((one) => h("li", {}, one)))) : null,
      h("details", {}, h("summary", {}, "Card"), details(card)));
  }

  async promote(card) {
    const [name, version] = card.identity.split("@");
    await this.use(`/glioloop/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}/promote`);
  }

  async rollback() {
    await this.use("/glioloop/models/rollback");
  }

  async use(path) {
    const { current } = await post(path);
    say(`${current} is in use now`);
    await this.refresh();
  }
}

function metrics(list) {
  if (!list.length) return h("p", { class: "muted" }, "Nothing has been measured on this network.");
  const cell = (one, region) => {
    const dice = one.dice?.[region];
    if (dice === undefined) return "—";
    const interval = one.ci95?.[region];
    return interval ? `${dice.toFixed(2)} (${interval[0].toFixed(2)}–${interval[1].toFixed(2)})` : dice.toFixed(2);
  };
  const regions = list.some((one) => one.dice?.cavity !== undefined) ? RESULT_REGIONS : REGIONS;
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Measured Dice" },
    plainTable("Dice (95 % interval)", ["Dice (95 % interval) on", "Cases", ...regions],
      list.map((one) => [h("span", {}, one.dataset, h("span", { class: "muted small" }, ` ${USES[one.use] ?? one.use}`)), String(one.n), ...regions.map((region) => cell(one, region))])));
}

function details(card) {
  const grid = card.grid ?? {};
  return h("div", {},
    facts(
      ["Architecture", card.architecture],
      ["Made", card.created],
      ["Licence", card.licence],
      ["Input", (grid.order ?? []).map((name) => SEQUENCE_LABELS[name]).join(", ")],
      ["One may lack", (card.may_lack ?? []).map((name) => SEQUENCE_LABELS[name]).join(", ")],
      ["Voxel", grid.spacing_mm ? `${grid.spacing_mm.join(" × ")} mm, ${grid.orientation}` : null],
      ["Window", grid.window?.join(" × ")],
      ["Normalisation", grid.normalisation],
      ["Brain first", card.brain ? card.brain.file.name : "no"],
      ["Learnt from", card.lineage?.cases?.join(", ")],
      ["ONNX opset", String(card.opset ?? "")],
      ["sha256", h("code", { class: "small break" }, card.file?.sha256 ?? "")],
    ),
    card.training?.length ? plainTable("Training data", ["Training data", "Cases", "Licence"], card.training.map((one) => [one.name, String(one.cases), one.licence])) : null);
}
