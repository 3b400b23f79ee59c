// Which page is shown, and how often it is refreshed.

import { get, getAnyway, root } from "./api.js";
import { fill, h, say, text } from "./dom.js";
import { CoursePage } from "./course.js";
import { FeedbackPage } from "./feedback.js";
import { JobPage } from "./job.js";
import { ModelsPage } from "./models.js";
import { NodePage } from "./node.js";
import { confirm, errorBox, trouble } from "./parts.js";
import * as patients from "./patients.js";
import { StudyPage } from "./study.js";
import { Worklist } from "./worklist.js";

const HEALTH_EVERY = 5000;
const AFTER_TROUBLE = 4000;

const main = document.getElementById("main");
const offline = h("div", { class: "offline", role: "alert", hidden: true });
let page = null;
let timer = 0;
/** Hash of the page that is shown. */
let shown = null;
/** Who looks. */
const user = get("/glioloop/user").catch(() => ({}));
user.then(({ role }) => { if (role) document.body.dataset.role = role; });
/** Links to viewers, `{study}` in them, empty where none is configured; who looks. Nothing of it changes while Orthanc runs. */
const surroundings = () => (asked ??= Promise.all([getAnyway("/glioloop/health").catch(() => ({})), user])
  .then(([{ viewer = "", editor = "" }, who]) => ({ viewer, editor, user: who })));
let asked = null;

const PAGES = [
  [/^#?\/?(?:\?(.*))?$/, "worklist", "Worklist", (query) => new Worklist(query)],
  [/^#\/jobs\/([0-9a-f]{32})$/, "worklist", "Job", (id) => new JobPage(id)],
  [/^#\/studies\/([0-9a-fA-F.-]{1,64})(?:\/([0-9a-f]{32}))?$/, "worklist", "Study", (study, job) => new StudyPage(study, job, surroundings)],
  [/^#\/patients\/([0-9a-f-]{44})(?:\/([0-9a-fA-F.-]{1,64}))?$/, "worklist", "Course", (id, study) => new CoursePage(id, study)],
  [/^#\/feedback$/, "feedback", "Feedback", () => new FeedbackPage()],
  [/^#\/models$/, "models", "Networks", () => new ModelsPage()],
  [/^#\/node$/, "node", "Node", () => new NodePage()],
];

function open() {
  if (page?.unsaved && location.hash !== shown) return ask(location.hash);
  shown = location.hash;
  clearTimeout(timer);
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  const found = PAGES.find(([pattern]) => pattern.test(location.hash));
  if (!found) return;
  const [pattern, name, title, make] = found;
  document.title = `${title} · GlioLoop`;
  document.querySelectorAll("[data-page]").forEach((link) => {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const first = page === null;
  page = make(...pattern.exec(location.hash).slice(1));
  fill(main, offline, page.element);
  if (!first) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    say(title);
  }
  return refresh(page);
}

/** Stay on a page whose edits are not saved, unless the user wants to lose them. */
function ask(wanted) {
  history.replaceState(null, "", shown);
  confirm("Leave without saving?", "What you have painted and erased would be lost.", "Leave", async () => {
    page = { element: page.element };
    location.hash = wanted;
  }, "Go on editing");
}

async function refresh(which) {
  let wait = AFTER_TROUBLE;
  try {
    // A page nobody looks at asks for nothing.
    if (!document.hidden) wait = await which.refresh();
    offline.hidden = true;
    which.well = true;
  } catch (error) {
    if (which !== page) return;
    if (which.well || error.status === 0 || error.status >= 500) {
      fill(offline, errorBox(error));
      offline.hidden = false;
    } else {
      fill(main, trouble(error));
    }
  }
  if (which === page) timer = setTimeout(() => refresh(which), wait);
}

async function health() {
  const state = document.getElementById("node-state");
  try {
    const found = document.hidden ? null : await getAnyway("/glioloop/health");
    if (found) {
      state.dataset.state = found.status;
      text(state.lastElementChild, found.status === "ok" ? "Node well" : "Node degraded");
    }
  } catch {
    state.dataset.state = "down";
    text(state.lastElementChild, "No answer");
  }
  setTimeout(health, HEALTH_EVERY);
}

const names = document.getElementById("names");
names.checked = patients.shown();
names.addEventListener("change", () => patients.show(names.checked));
document.getElementById("orthanc").href = `${root}/app/explorer.html`;
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && page) {
    clearTimeout(timer);
    refresh(page);
  }
});
window.addEventListener("hashchange", open);
window.addEventListener("beforeunload", (event) => { if (page?.unsaved) event.preventDefault(); });
// What the page is for comes first: health counts every waiting job.
Promise.resolve(open()).finally(health);
