// The audit trail as it is filtered: which entries, which page, and whether the chain still holds.
import { batch, computed, signal } from "../vendor/preact.js";
import { exportAudit, fetchAudit, fetchSessions, verifyAudit } from "../admin.js";
import { place } from "./choice.js";
import { Question } from "./question.js";

export const PAGE = 50;
export const NO_FILTERS = { action: "", admin_user_id: "", session_id: "", since: "", until: "" };

/** As the link says it; beside the sessions there are none. */
export const filters = computed(() => {
  const said = new URLSearchParams(place.value);
  return Object.fromEntries(Object.keys(NO_FILTERS).map((name) => [name, said.get(name) ?? ""]));
});
export const offset = signal(0);
export const entries = new Question(fetchAudit);
export const chain = new Question(verifyAudit);
/** Sessions of impersonation. */
export const sessions = new Question(fetchSessions);
export const activeOnly = signal(false);
export const sessionOffset = signal(0);

/** What the service is asked for: times as ISO, empty ones left out. */
function asked() {
  const { since, until, ...rest } = filters.value;
  return { ...rest, since: isoOf(since), until: isoOf(until) };
}

function isoOf(local) {
  const time = new Date(local);
  return local && !Number.isNaN(time.getTime()) ? time.toISOString() : "";
}

export function readTrail() {
  entries.ask({ ...asked(), limit: PAGE, offset: offset.value });
}

export function readSessions() {
  sessions.ask({ limit: PAGE, offset: sessionOffset.value, is_active: activeOnly.value ? "true" : "" });
}

export function filterTrail(change) {
  const next = Object.entries({ ...filters.value, ...change }).filter(([, value]) => value);
  batch(() => {
    place.value = new URLSearchParams(next).toString();
    offset.value = 0;
  });
}

export function turnPage(by) {
  offset.value = Math.max(0, offset.value + by * PAGE);
  readTrail();
}

/** The filtered entries, all of them, as a file. */
export function trailFile(format) {
  return exportAudit({ ...asked(), format });
}
