// Messages that were saved to be sent again, for this browser; their payloads stay here and go nowhere else.
import { signal } from "../vendor/preact.js";

const KEPT = "inspector.messages";
const MOST = 30;

/** @typedef {{ name: string, kind: string, event: string, payload: string }} SavedMessage */
/** @type {import("../vendor/preact.js").Signal<SavedMessage[]>} */
export const savedMessages = signal(recalled());

function recalled() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.payload === "string") : [];
  } catch {
    return [];
  }
}

function keep(next) {
  savedMessages.value = next.slice(-MOST);
  localStorage.setItem(KEPT, JSON.stringify(savedMessages.value));
}

/** Saves under its event, in place of what had that name. */
export function saveMessage(/** @type {SavedMessage} */ one) {
  keep([...savedMessages.value.filter(({ name }) => name !== one.name), one]);
}

export function dropMessage(name) {
  keep(savedMessages.value.filter((one) => one.name !== name));
}
