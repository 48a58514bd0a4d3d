// The audit trail as it is filtered: which entries, which page, and whether the chain still holds.
import { batch, signal } from "../vendor/preact.js";
import { exportAudit, fetchAudit, fetchSessions, verifyAudit } from "../admin.js";
import { Question } from "./question.js";

export const PAGE = 50;
export const NO_FILTERS = { action: "", admin_user_id: "", session_id: "", since: "", until: "" };

export const filters = signal({ ...NO_FILTERS });
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
  batch(() => {
    filters.value = { ...filters.value, ...change };
    offset.value = 0;
  });
  readTrail();
}

export function turnPage(by) {
  offset.value = Math.max(0, offset.value + by * PAGE);
  readTrail();
}

/** The filtered entries, all of them, as a file. */
export function trailFile(format) {
  return exportAudit({ ...asked(), format });
}
