// What has the node write a structure set, followed until it is a correction.

import { get } from "./api.js";

const MOST_LOOKS = 600;

/** Wait until what was asked for at `path` is kept; `tell` hears how far it is, and what goes wrong is thrown. */
export async function kept(path, tell) {
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    const found = await get(path);
    if (found.state === "kept") return;
    if (found.state === "failed") throw found.error;
    if (found.state === "passed_over") throw { code: "EDIT_PASSED_OVER", message: "The contours were stored, but not kept as a correction.", detail: found.detail };
    tell(found.state);
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}
