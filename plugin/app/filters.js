// What the worklist is searched and sorted by: in the address, so that it can be linked to, and kept as views.

import { fill, h, text } from "./dom.js";
import { REVIEW_LABELS, STATE_LABELS } from "./format.js";

const KEY = "glioloop.views";
export const ORDERS = { urgent: "Urgent first, then latest", date: "Latest first", state: "State", patient: "Patient", ml: "Tumour volume", priority: "Priority" };
const FIELDS = ["patient", "from", "to", "dated", "flag", "review", "least_ml", "most_ml", "urgent", "sort"];
const REVIEWS = ["none", "automatic", "sent", "corrected", "accepted", "accept_failed", "holes_filled", "sent_back"];
/** So long a person may go on typing. */
const TYPING = 350;

/** Form of the filters; `changed` is called with nothing when one of them has been set. */
export class Filters {
  constructor(query, changed) {
    this.changed = changed;
    const given = new URLSearchParams(query);
    this.states = new Set((given.get("state") ?? "").split(",").filter(Boolean));
    this.flags = h("select", { onchange: () => this.set() });
    this.flagCodes = null;
    this.fields = {
      patient: h("input", { type: "search", autocomplete: "off", maxlength: 64, placeholder: "Name or number", oninput: () => this.typed() }),
      from: h("input", { type: "date", onchange: () => this.set() }),
      to: h("input", { type: "date", onchange: () => this.set() }),
      dated: choice({ "": "Queued", study: "Study" }, () => this.set()),
      flag: this.flags,
      review: choice({ "": "Any", ...Object.fromEntries(REVIEWS.map((one) => [one, REVIEW_LABELS[one] || "no contours"])) }, () => this.set()),
      least_ml: h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", oninput: () => this.typed() }),
      most_ml: h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", oninput: () => this.typed() }),
      urgent: h("input", { type: "checkbox", onchange: () => this.set() }),
      sort: choice(ORDERS, () => this.set()),
    };
    this.showFlags([...new Set([given.get("flag")])].filter((one) => one && one !== "any" && one !== "none"));
    this.put(given);
    this.buttons = new Map(Object.keys(STATE_LABELS).map((state) => [state, this.stateButton(state)]));
    this.all = h("button", { type: "button", onclick: () => { this.states.clear(); this.set(); } }, "All");
    this.views = h("select", { onchange: () => this.open(this.views.value) });
    this.drop = h("button", { type: "button", hidden: true, onclick: () => this.remove() }, "Remove view");
    this.listViews();
    this.element = h("form", { class: "filters", role: "search", "aria-label": "Jobs", onsubmit: (event) => { event.preventDefault(); this.set(); } },
      h("div", { class: "states", role: "group", "aria-label": "State" }, this.all, [...this.buttons.values()].map((one) => one.button)),
      label("Patient", this.fields.patient), label("From", this.fields.from), label("To", this.fields.to), label("Day of", this.fields.dated),
      label("Flag", this.flags), label("Review", this.fields.review), label("ml from", this.fields.least_ml), label("ml to", this.fields.most_ml),
      label("Sorted by", this.fields.sort), h("label", { class: "tick" }, this.fields.urgent, "Urgent only"),
      label("View", this.views),
      h("div", { class: "row-actions" }, h("button", { type: "button", onclick: () => this.keep() }, "Save view…"), this.drop,
        h("button", { type: "button", onclick: () => this.open("") }, "Clear")));
    this.mark();
  }

  stateButton(state) {
    const count = h("span", { class: "count number" });
    const button = h("button", { type: "button", "data-state": state, onclick: () => {
      if (!this.states.delete(state)) this.states.add(state);
      this.set();
    } }, STATE_LABELS[state], count);
    return { button, count };
  }

  /** What is set, as a query string without what is as it is by itself. */
  query() {
    const found = new URLSearchParams();
    if (this.states.size) found.set("state", [...this.states].join(","));
    for (const name of FIELDS) {
      const field = this.fields[name];
      const value = field.type === "checkbox" ? (field.checked ? "true" : "") : field.value.trim();
      if (value && !(name === "sort" && value === "urgent") && !(name === "dated" && !this.fields.from.value && !this.fields.to.value)) found.set(name, value);
    }
    return found;
  }

  /** The same as the node's API takes it, in words and numbers. */
  options() {
    const { least_ml, most_ml, urgent, ...words } = Object.fromEntries(this.query());
    const numbers = Object.entries({ least_ml, most_ml }).filter(([, value]) => value).map(([name, value]) => [name, Number(value)]);
    return { ...words, ...Object.fromEntries(numbers), ...(urgent ? { urgent: true } : {}) };
  }

  get sort() {
    return this.fields.sort.value;
  }

  typed() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.set(), TYPING);
  }

  set() {
    clearTimeout(this.waiting);
    this.mark();
    this.changed();
  }

  mark() {
    this.all.setAttribute("aria-pressed", String(!this.states.size));
    for (const [state, { button }] of this.buttons) button.setAttribute("aria-pressed", String(this.states.has(state)));
    const now = this.query().toString();
    const view = saved().find((one) => one.query === now);
    this.views.value = view ? view.name : "";
    this.drop.hidden = !view;
  }

  put(given) {
    for (const name of FIELDS) {
      const field = this.fields[name];
      const value = given.get(name) ?? "";
      if (field.type === "checkbox") field.checked = value === "true";
      else field.value = name === "sort" ? (value in ORDERS ? value : "urgent") : value;
    }
  }

  /** Show how many jobs there are; what a person is choosing from stays as it is. */
  count(counts) {
    for (const [state, { count }] of this.buttons) text(count, String(counts.states[state] ?? 0));
    this.showFlags(Object.keys(counts.flags));
  }

  showFlags(codes) {
    const chosen = this.flags.value;
    const listed = [...new Set([...codes, chosen])].filter((one) => one && one !== "any" && one !== "none").sort();
    if (this.flagCodes?.join() === listed.join() || document.activeElement === this.flags) return;
    this.flagCodes = listed;
    fill(this.flags, [["", "Any or none"], ["any", "With a flag"], ["none", "Done without"], ...listed.map((one) => [one, wordsOf(one)])].map(([value, words]) => h("option", { value }, words)));
    this.flags.value = chosen;
  }

  // --- views ---

  listViews() {
    fill(this.views, h("option", { value: "" }, "—"), saved().map((one) => h("option", { value: one.name }, one.name)));
  }

  open(name) {
    const given = new URLSearchParams(saved().find((one) => one.name === name)?.query ?? "");
    this.states = new Set((given.get("state") ?? "").split(",").filter(Boolean));
    this.showFlags([...(this.flagCodes ?? []), given.get("flag")]);
    this.put(given);
    this.set();
  }

  keep() {
    const name = h("input", { type: "text", maxlength: 40, required: true, value: this.views.value });
    const box = h("dialog", { class: "form", "aria-label": "Save view" }, h("form", { method: "dialog", onsubmit: () => {
      const view = { name: name.value.trim(), query: this.query().toString() };
      if (!view.name) return;
      write([...saved().filter((one) => one.name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name)));
      this.listViews();
      this.mark();
    } }, h("h2", {}, "Save view"), h("p", { class: "muted" }, "Filters and order are kept in this browser."), label("Name", name),
    h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => box.close() }, "Close"), h("button", { class: "primary" }, "Save"))));
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  }

  remove() {
    write(saved().filter((one) => one.name !== this.views.value));
    this.listViews();
    this.mark();
    this.views.focus();
  }
}

function saved() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one?.name === "string" && typeof one?.query === "string") : [];
  } catch {
    return [];
  }
}

const write = (views) => localStorage.setItem(KEY, JSON.stringify(views));
const choice = (options, changed) => h("select", { onchange: changed }, Object.entries(options).map(([value, words]) => h("option", { value }, words)));
const label = (words, field) => h("label", {}, h("span", {}, words), field);
const wordsOf = (code) => code.charAt(0) + code.slice(1).toLowerCase().replaceAll("_", " ");
