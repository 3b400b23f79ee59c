// Who a study is of: asked of Orthanc by the browser, kept nowhere, and hidden unless switched on.

import { get } from "./api.js";
import { dicomDate, personName } from "./format.js";
import { text } from "./dom.js";

const KEY = "glioloop.names";
const records = new Map();

export const shown = () => localStorage.getItem(KEY) === "shown";

/** Show or hide names on every page. */
export function show(on) {
  localStorage.setItem(KEY, on ? "shown" : "hidden");
  document.querySelectorAll("[data-patient]").forEach(write);
}

function record(study) {
  if (!records.has(study)) {
    const asked = get(`/studies/${encodeURIComponent(study)}`);
    // A failure is asked again the next time: the study may come back.
    asked.catch(() => records.delete(study));
    records.set(study, asked);
  }
  return records.get(study);
}

/** Let an element show a study's patient, and go on doing so as the switch is turned. */
export function patient(element, study) {
  element.dataset.patient = study;
  write(element);
  return element;
}

async function write(element) {
  const study = element.dataset.patient;
  try {
    const found = await record(study);
    if (element.dataset.patient !== study) return;
    const tags = found.PatientMainDicomTags ?? {};
    const name = [personName(tags.PatientName), tags.PatientID].filter(Boolean).join(" · ");
    // Orthanc's id of the patient tells two patients apart and says nothing of either.
    text(element, shown() ? name || "(no name)" : `Patient ${(found.ParentPatient ?? study).slice(0, 6)}`);
  } catch {
    if (element.dataset.patient === study) text(element, "(study removed)");
  }
}

/** Orthanc's id of a study's patient. */
export const patientOf = async (study) => (await record(study)).ParentPatient;

/** Let an element show a study's date and description. */
export async function studyLine(element, study) {
  try {
    const tags = (await record(study)).MainDicomTags ?? {};
    text(element, [dicomDate(tags.StudyDate), tags.StudyDescription].filter(Boolean).join(" · ") || "no date");
  } catch {
    text(element, "");
  }
  return element;
}
