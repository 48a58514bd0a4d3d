// The river of messages: frames of all identities come in, rows come out, once per animation frame.
import { batch, computed, effect, signal, untracked } from "../vendor/preact.js";
import { listed, off, search } from "./filter.js";
import { compared, comparing, looking, onlyDifferences } from "./lens.js";
import { gap, lagOf, mergeKey, Message, read } from "./message.js";
import { Ring } from "./ring.js";
import { keyColumns } from "./session.js";
import { STRENGTH } from "./verdicts.js";
import { View } from "./view.js";
import { countLag, countMessage } from "./vitals.js";

export const CAPACITY = 100_000;
const BYTE_CAPACITY = 128 * 1024 * 1024;
const INBOX = 20_000;
const SLICE_MS = 10;
const HIDDEN_MS = 250;
const COUNTS_MS = 500;
const MERGEABLE = 20_000;
const TWIN_MS = 5000;
/** Rows a frame beyond which nobody can follow: then it is drawn 10 times a second, and the page stays quick. */
const READABLE = 8;
const UNREADABLE_MS = 96;

/** Moves when the list may look different. */
export const revision = signal(0);
/** `tally`: by "kind verdict", of what passes the search; `oldest`: the time of the oldest kept message, in ms. */
export const counts = signal({
  tally: /** @type {Map<string, number>} */ (new Map()),
  kept: 0,
  hidden: 0,
  evicted: 0,
  oldest: NaN,
});

/** Messages before this number were cleared from the list; for a few seconds they can still be taken back. */
let floor = 0;
export const cleared = signal(/** @type {{ count: number, until: number } | null} */ (null));
const UNDO_MS = 10_000;

/** What is listed for whom, one question each. */
export const rules = {
  concerns: (message) => message.seq >= floor && looking.value.some((who) => message.receipt(who)),
  verdict: combinedVerdict,
  passes: (message) => (!comparing.value || !onlyDifferences.value || differs(message)) && passesSearch(message),
  lists: (kind, verdict) => listed(kind, verdict, off.value),
};

export const ring = new Ring(CAPACITY, BYTE_CAPACITY, (message) => view.evict(message));
export const view = new View(ring, rules);

/** The receipts of those who look, in lane order. */
export function receiptsOf(message) {
  return looking.value.map((who) => message.receipt(who)).filter((receipt) => receipt !== undefined);
}

/** The receipt whose contents are shown: the first one that has any, among those who look. */
export function shownReceipt(message) {
  const receipts = receiptsOf(message);
  return receipts.find((receipt) => receipt.mark === "allowed" && receipt.frame) ?? receipts[0];
}

function passesSearch(message) {
  return !search.value.test || message.kind === "gap" || search.value.test(message, receiptsOf(message));
}

function combinedVerdict(message) {
  const marks = receiptsOf(message).map((receipt) => receipt.mark);
  if (marks.includes("denied")) return "denied";
  if (marks.includes("raised")) return "raised";
  return marks.includes("allowed") ? "allowed" : "skipped";
}

const COMPARABLE = new Set(["change", "broadcast", "presence"]);

/** Whether the compared identities disagree about a message. A row of one connection alone is no disagreement. */
function differs(message) {
  if (message.kind === "gap") return true;
  if (!COMPARABLE.has(message.kind)) return false;
  const marks = compared.value.map((who) => message.receipt(who)?.mark ?? "skipped");
  return marks.some((mark) => mark !== marks[0]);
}

// --- receiving -------------------------------------------------------------------------------------------------------

/** @type {{ frame: import("../wire/frames.js").Frame, who: string, at: number }[]} */
let inbox = [];
let scheduled = false;
/** When the list was drawn last, and up to which message. */
let drawn = { at: 0, next: 0 };

/** Takes a frame; it is listed with the next animation frame. */
export function accept(frame, who, at = Date.now()) {
  inbox.push({ frame, who, at });
  if (inbox.length > INBOX) drain(Infinity);
  schedule();
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  // Animation frames stop in a hidden tab, messages do not.
  if (document.hidden) setTimeout(flush, HIDDEN_MS);
  else requestAnimationFrame(flush);
}

function flush() {
  scheduled = false;
  drain(performance.now() + SLICE_MS);
  view.advance();
  const now = performance.now();
  const late = ring.next - drawn.next > READABLE && now - drawn.at < UNREADABLE_MS;
  if (!late) {
    drawn = { at: now, next: ring.next };
    revision.value += 1;
    recount();
  }
  if (inbox.length || view.busy || late) schedule();
}

function drain(end) {
  let done = 0;
  for (; done < inbox.length; done += 1) {
    const { frame, who, at } = inbox[done];
    take(frame, who, at);
    if (done % 64 === 63 && performance.now() > end) {
      done += 1;
      break;
    }
  }
  inbox = inbox.slice(done);
}

/** Messages that another identity's frame may join, by what the two have in common; the oldest are forgotten. */
/** @type {Map<string, Message>} */
const twins = new Map();

function take(frame, who, at) {
  const { message, receipt } = readSafely(frame, who, at);
  const twin = twinOf(message, receipt, mergeKey(frame));
  if (twin) {
    view.change(twin, () => join(twin, message, receipt));
  } else {
    ring.push(message);
  }
  if (!looking.value.includes(who) || message.kind === "reply") return;
  if (!twin) countMessage(message.topic, receipt.mark === "denied", at);
  if (receipt.frame && receipt.mark === "allowed") countLag(lagOf(message, receipt), at);
}

/** A frame that cannot be understood is a row too: nothing that arrived is kept back. */
function readSafely(frame, who, at) {
  try {
    return read(frame, who, at, keyColumns);
  } catch {
    const message = new Message("error", "unreadable", frame.topic, at);
    /** @type {import("./message.js").Receipt} */
    const receipt = { who, mark: "skipped", reason: "unreadable", detail: "", at, frame };
    message.receipts.push(receipt);
    message.bytes = frame.size;
    return { message, receipt };
  }
}

/** The row that this receipt belongs to, where another frame of the same event made one already. */
function twinOf(message, receipt, key) {
  if (!key) return undefined;
  for (let n = 1; ; n += 1) {
    const name = `${key} ${n}`;
    const twin = twins.get(name);
    const stale = twin && (twin.seq < Math.max(ring.first, floor) || (twin.kind !== "change" && receipt.at - twin.at > TWIN_MS));
    if (!twin || stale) {
      remember(name, message);
      return undefined;
    }
    const own = twin.receipt(receipt.who);
    if (!own || STRENGTH[own.mark] < STRENGTH[receipt.mark]) return twin;
    // A weaker verdict about what was delivered adds nothing; a second delivery is a row of its own.
    if (receipt.mark !== "allowed") return twin;
  }
}

function remember(name, message) {
  twins.delete(name);
  twins.set(name, message);
  if (twins.size > MERGEABLE) twins.delete(twins.keys().next().value ?? "");
}

function join(twin, message, receipt) {
  const own = twin.receipt(receipt.who);
  if (own && STRENGTH[own.mark] >= STRENGTH[receipt.mark]) return;
  if (own) twin.receipts.splice(twin.receipts.indexOf(own), 1);
  // Equal text is kept once, however many identities received it.
  const same = twin.receipts.find((other) => other.frame && other.frame.text === receipt.frame?.text && !receipt.frame.bytes);
  if (same) receipt.frame = same.frame;
  else ring.grow(message.bytes);
  twin.bytes += same ? 0 : message.bytes;
  twin.receipts.push(receipt);
  if (!twin.key) twin.key = message.key;
}

/** The kept change with this event id, of those from a number on. */
export function eventNamed(eventId, from = 0) {
  for (let seq = ring.next - 1; seq >= Math.max(from, ring.first); seq -= 1) if (ring.get(seq)?.eventId === eventId) return ring.get(seq);
  return undefined;
}

const AROUND = 2000;

/** What was found last: the head of the detail and its list ask for the same. */
let found = { message: /** @type {Message | null} */ (null), first: 0, next: 0, mates: /** @type {Message[]} */ ([]) };

/** The other kept changes of the same transaction on the same channel, in order. They arrive next to each other. */
export function sameCommit(/** @type {Message} */ message) {
  if (!message.commitId) return [];
  if (found.message === message && found.first === ring.first && found.next === ring.next) return found.mates;
  const mates = /** @type {Message[]} */ ([]);
  for (let seq = Math.max(ring.first, message.seq - AROUND); seq < Math.min(ring.next, message.seq + AROUND); seq += 1) {
    const other = ring.get(seq);
    if (other && other !== message && other.commitId === message.commitId && other.topic === message.topic) mates.push(other);
  }
  found = { message, first: ring.first, next: ring.next, mates };
  return mates;
}

// --- gaps ------------------------------------------------------------------------------------------------------------

/** Puts a gap row at the end of the list. */
export function addGap(text, who) {
  return addGapAt(text, who, Date.now(), false);
}

export function addGapAt(text, who, at, healed) {
  drain(Infinity); // what came before it stands before it
  const message = gap(text, at, who);
  message.healed = healed;
  ring.push(message);
  schedule();
  return message;
}

/** Changes a gap row: it is over, or somebody else lost the connection too. */
export function changeGap(message, change) {
  view.change(message, () => change(message));
  schedule();
}

// --- listing ---------------------------------------------------------------------------------------------------------

let counted = 0;
let countTimer = 0;

/** Publishes the counts, at most twice a second. */
function recount() {
  const wait = counted + COUNTS_MS - performance.now();
  clearTimeout(countTimer);
  if (wait > 0) {
    countTimer = window.setTimeout(recount, wait);
    return;
  }
  counted = performance.now();
  const first = Math.max(ring.first, floor);
  const oldest = ring.get(first)?.time ?? NaN;
  counts.value = { tally: new Map(view.tally), kept: ring.next - first, hidden: view.hidden, evicted: ring.evicted, oldest };
}

function relistNow(work) {
  work();
  batch(() => {
    counted = 0;
    recount();
    revision.value += 1;
  });
  if (view.busy) schedule();
}

/** Takes everything out of the list; `undoClear` brings it back within ten seconds. */
export function clearList() {
  forgetCleared();
  cleared.value = { count: ring.next - ring.first, until: Date.now() + UNDO_MS };
  clearTimer = window.setTimeout(forgetCleared, UNDO_MS);
  floor = ring.next;
  relistNow(() => view.restart());
}

let clearTimer = 0;

export function undoClear() {
  clearTimeout(clearTimer);
  cleared.value = null;
  floor = 0;
  relistNow(() => view.restart());
}

function forgetCleared() {
  clearTimeout(clearTimer);
  cleared.value = null;
  ring.clearBefore(floor);
}

/** Starts anew, with nothing to take back. */
export function resetFeed() {
  inbox = [];
  twins.clear();
  floor = ring.next;
  forgetCleared();
  relistNow(() => view.restart());
}

/** The kept messages in order; of those, only the listed ones where that is asked for. */
export function keptMessages(onlyListed) {
  if (onlyListed) return Array.from({ length: view.length }, (_, i) => view.at(i)).filter((message) => message !== undefined);
  const messages = [];
  for (let seq = Math.max(ring.first, floor); seq < ring.next; seq += 1) messages.push(ring.get(seq));
  return messages.filter((message) => message !== undefined);
}

/** Judges again whenever the person changes what to look at. */
export function startFeed() {
  const judgement = computed(() => [search.value, looking.value, onlyDifferences.value]);
  effect(() => {
    judgement.value;
    untracked(() => relistNow(() => view.restart()));
  });
  let first = true;
  effect(() => {
    off.value;
    if (!first) untracked(() => relistNow(() => view.relist()));
    first = false;
  });
}
