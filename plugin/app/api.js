// The node's REST API and Orthanc's, same origin; the browser holds the credentials.

/** Where Orthanc's REST API begins, also behind a proxy that puts a prefix before it. */
export const root = import.meta.url.split("/glioloop/app/")[0];

/** An answer that says why not. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.detail = error.detail ?? "";
    this.hint = error.hint ?? "";
    this.data = error.data ?? {};
  }
}

async function answerOf(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const error = body?.error ?? { code: `HTTP ${response.status}`, message: "Orthanc did not answer as expected." };
  throw new Refusal(response.status, error);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(root + path, { credentials: "same-origin", cache: "no-cache", ...options });
  } catch {
    throw new Refusal(0, { code: "NO_ANSWER", message: "Orthanc does not answer.", hint: "The page tries again by itself." });
  }
  return response;
}

/** GET as JSON. */
export const get = async (path) => answerOf(await ask(path));

/** GET as bytes. */
export async function getBytes(path) {
  const response = await ask(path);
  return response.ok ? response.arrayBuffer() : answerOf(response);
}

/** GET as JSON whatever the status: health answers 503 with its reasons. */
export async function getAnyway(path) {
  const response = await ask(path);
  return response.json();
}

/** POST JSON. */
export const post = async (path, body = {}) =>
  answerOf(await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));

/** Address of a study in Orthanc Explorer. */
export const explorer = (study) => `${root}/app/explorer.html#study?uuid=${encodeURIComponent(study)}`;
