// A recording that is open: shown as a whole at first, or played again at the pace it came, or faster. No server takes part.
import { batch, signal } from "../vendor/preact.js";
import { follow, goTo, select } from "./choice.js";
import { accept, addGapAt, resetFeed } from "./feed.js";
import { identities, live, stop } from "./identities.js";
import { compared, viewed } from "./lens.js";
import { recordedTables } from "./session.js";

/**
 * `next`: the entry that comes next; `speed`: 0 while it stands still.
 * @typedef {{ name: string, header: import("./recording.js").Header, entries: import("./recording.js").Entry[], broken: number,
 *   next: number, speed: number }} Playing
 */
export const playing = signal(/** @type {Playing | null} */ (null));

const idOf = (letter) => `recorded-${letter}`;
/** No pause in a recording is waited for longer than this. */
const LONGEST_PAUSE_MS = 5000;
let timer = 0;

/** Opens a recording; views that are open end, for two streams in one list would tell nothing. Throws where it is none. */
export async function openRecording(name, text) {
  const { readRecording } = await import("./recording.js");
  const { header, entries, broken } = readRecording(text);
  await Promise.all(live().map(({ id }) => stop(id)));
  batch(() => {
    clearTimeout(timer);
    resetFeed();
    select(null);
    goTo("live");
    recordedTables.value = header.tables;
    identities.value = header.identities.map(recordedIdentity);
    viewed.value = identities.value[0]?.id ?? "";
    compared.value = identities.value.length > 1 ? identities.value.map((one) => one.id) : [];
    playing.value = { name, header, entries, broken, next: 0, speed: 0 };
    follow();
  });
  showAll();
}

/** @returns {import("./identities.js").Identity} */
function recordedIdentity({ letter, name, kind, role, claims = {} }) {
  const ask = { kind: /** @type {any} */ (kind), user: null, role: "", claims: null, reason: "", seconds: 0 };
  const none = { reason: "", expiresAt: 0, access: "", sessions: [], news: null, channels: {}, why: "Recorded." };
  return { id: idOf(letter), letter, name, label: name, ask, kind, role, claims, state: "recorded", ...none };
}

function take({ at, who, frame, gap, healed }) {
  if (frame) accept(frame, idOf(who[0]), at);
  else addGapAt(gap, [...who].map(idOf), at, healed);
}

/** Lists everything at once. */
export function showAll() {
  const now = playing.value;
  if (!now) return;
  clearTimeout(timer);
  for (const entry of now.entries.slice(now.next)) take(entry);
  playing.value = { ...now, next: now.entries.length, speed: 0 };
}

/** Plays from the beginning, or goes on where it was halted. */
export function play(speed) {
  const now = playing.value;
  if (!now) return;
  clearTimeout(timer);
  const ended = now.next >= now.entries.length;
  if (ended) {
    resetFeed();
    select(null);
  }
  follow();
  playing.value = { ...now, next: ended ? 0 : now.next, speed };
  step();
}

export function halt() {
  clearTimeout(timer);
  if (playing.value) playing.value = { ...playing.value, speed: 0 };
}

function step() {
  const now = playing.value;
  if (!now || !now.speed) return;
  const { entries, speed } = now;
  const due = entries[now.next]?.at ?? 0;
  let next = now.next;
  for (; next < entries.length && entries[next].at <= due; next += 1) take(entries[next]);
  const over = next >= entries.length;
  playing.value = { ...now, next, speed: over ? 0 : speed };
  if (!over) timer = window.setTimeout(step, Math.min(LONGEST_PAUSE_MS, entries[next].at - due) / speed);
}

/** Puts the recording away. */
export function closeRecording() {
  if (!playing.value) return;
  clearTimeout(timer);
  batch(() => {
    playing.value = null;
    recordedTables.value = null;
    identities.value = identities.value.filter((one) => one.state !== "recorded");
    viewed.value = "";
    compared.value = [];
    select(null);
    resetFeed();
  });
}
