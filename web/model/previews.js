// Feature previews: what is not finished is off until the person switches it on, for this browser.
import { signal } from "../vendor/preact.js";

const KEPT = "inspector.previews";

/**
 * Every preview there is; a section or a tab names the one that it belongs to.
 * @type {{ name: string, words: string, hint: string }[]}
 */
export const PREVIEWS = [];

/** @type {import("../vendor/preact.js").Signal<Set<string>>} */
export const previews = signal(new Set((localStorage.getItem(KEPT) ?? "").split(",").filter(Boolean)));

export function togglePreview(name) {
  const next = new Set(previews.value);
  if (!next.delete(name)) next.add(name);
  previews.value = next;
  localStorage.setItem(KEPT, [...next].join());
}

/** Whether something is to be shown: finished, or switched on. */
export function offered(/** @type {{ preview?: string }} */ entry) {
  return !entry.preview || previews.value.has(entry.preview);
}
