// Words and numbers as people read them.

export const SEQUENCES = ["t1", "t1c", "t2", "flair"];
export const SEQUENCE_LABELS = { t1: "T1", t1c: "T1c", t2: "T2", flair: "FLAIR" };
export const SEQUENCE_NAMES = { t1: "T1", t1c: "T1 with contrast", t2: "T2", flair: "FLAIR" };

export const STAGES = ["identify", "load", "align", "infer", "restore", "write", "store", "forward"];
export const STAGE_LABELS = {
  identify: "Identify series",
  load: "Load images",
  align: "Align sequences",
  infer: "Delineate",
  restore: "Back to slices",
  write: "Write objects",
  store: "Store",
  forward: "Forward",
};

export const STATE_LABELS = {
  queued: "Queued",
  running: "Running",
  done: "Done",
  refused: "Refused",
  failed: "Failed",
  cancelled: "Cancelled",
};
export const ACTIVE = new Set(["queued", "running"]);
export const RETRIABLE = new Set(["refused", "failed", "cancelled"]);

export const ORIGIN_LABELS = {
  stable: "study became stable",
  grace: "after the grace time",
  forced: "forced end of waiting",
  rescan: "found after a restart",
  rest: "asked for",
  archive: "run over the archive",
  course: "earlier study, done again by the present network",
};

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A moment: time of day for today, else with its date. */
export function moment(iso) {
  if (!iso) return "";
  const then = new Date(iso);
  return then.toDateString() === new Date().toDateString() ? hour.format(then) : clock.format(then);
}

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 0.05) return "< 0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Work time of a job: the sum of its stages; until it ends, time since it was queued. */
export function jobSeconds(job) {
  if (ACTIVE.has(job.state)) return (Date.now() - new Date(job.created)) / 1000;
  const stages = Object.values(job.timings_s ?? {});
  return stages.length ? stages.reduce((sum, one) => sum + one, 0) : null;
}

/** How far a job is, 0 to 1, over all its stages. */
export function jobProgress(job) {
  if (job.state === "done") return 1;
  const stage = STAGES.indexOf(job.stage);
  return stage < 0 ? 0 : (stage + (job.progress ?? 0)) / STAGES.length;
}

/** DICOM date (DA) as ISO. */
export const dicomDate = (value) => (/^\d{8}$/.test(value ?? "") ? `${value.slice(0, 4)}-${value.slice(4, 6)}-${value.slice(6)}` : value ?? "");

/** DICOM person name (PN): the alphabetic group, family name first. */
export function personName(value) {
  const group = (value ?? "").split("=").find((one) => one.trim()) ?? "";
  const [family = "", given = "", middle = ""] = group.split("^").map((one) => one.trim());
  return [family, [given, middle].filter(Boolean).join(" ")].filter(Boolean).join(", ");
}

export const REGIONS = ["WT", "TC", "ET"];
/** What a result may hold: the cavity only where one was found. */
export const RESULT_REGIONS = [...REGIONS, "cavity"];
export const REGION_LABELS = { WT: "Whole tumour", TC: "Tumour core", ET: "Enhancing", cavity: "Resection cavity" };

export const REVIEW_LABELS = {
  none: "",
  automatic: "not sent",
  sent: "sent, not reviewed",
  corrected: "corrected",
  accepted: "accepted",
  accept_failed: "not accepted: it could not be written",
  holes_filled: "only holes filled: meant?",
  sent_back: "sent back",
};

/** Millilitres with their sign: what a correction added or took away. */
export const signed = (value, sign) => (value ? `${sign}${millilitres(value)}` : "0");

/** Millilitres. */
export const millilitres = (value) => (value === null || value === undefined ? "" : `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ml`);
