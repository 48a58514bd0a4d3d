// Whom the person looked through lately; ids and names only, never a token, a claim or a reason.
import { signal } from "../vendor/preact.js";

const KEPT = "inspector.recents";
const MOST = 4;

/** @typedef {{ kind: string, id: string, email: string, userRole: string, role: string }} Recent */
/** @type {import("../vendor/preact.js").Signal<Recent[]>} */
export const recents = signal(recalled());

function recalled() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(kept) ? kept.slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** @param {import("../api.js").Ask} ask */
export function rememberRecent(ask) {
  const recent = {
    kind: ask.kind,
    id: ask.user?.id ?? "",
    email: ask.user?.email ?? "",
    userRole: ask.user?.role ?? "",
    role: ask.role,
  };
  const others = recents.value.filter((one) => one.kind !== recent.kind || one.id !== recent.id || one.role !== recent.role);
  recents.value = [recent, ...others].slice(0, MOST);
  localStorage.setItem(KEPT, JSON.stringify(recents.value));
}
