// A study beside the one before, scrolled together on one grid, with the contours of both.

import { get, root } from "./api.js";
import { fill, h } from "./dom.js";
import { SliceBrowser } from "./slices.js";

/** Chooses one of the studies that were aligned, the newest first, and shows it beside the one before. */
export class Beside {
  constructor(studies) {
    this.pairs = studies.map((study, place) => ({ study, before: studies[place - 1] })).filter(({ study, before }) => before && study.aligned).reverse();
    this.body = h("div");
    const choose = h("select", { "aria-label": "Studies", onchange: () => this.show(this.pairs[choose.selectedIndex]) },
      this.pairs.map(({ study, before }) => h("option", {}, `${day(before)} and ${day(study)}`)));
    this.element = h("div", { class: "stack" }, choose, this.body);
    if (this.pairs.length) this.show(this.pairs[0]);
  }

  async show({ study, before }) {
    const path = `/glioloop/studies/${encodeURIComponent(study.study)}/beside`;
    try {
      const content = await get(path);
      fill(this.body, new SliceBrowser(null, {
        ...content,
        labels: { before: day(before), now: day(study) },
        source: (name) => `${root}${path}/${name}.jpg`,
      }, null).element);
    } catch {
      fill(this.body, h("p", { class: "empty" }, "There are no pictures of these two yet."));
    }
  }
}

const day = (study) => study.at.slice(0, 10);
