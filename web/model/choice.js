// What the person is doing with the page: which section, which message is open, and whether the list follows the newest.
import { batch, computed, effect, signal, untracked } from "../vendor/preact.js";
import { eventNamed, ring, revision, view } from "./feed.js";
import { Message } from "./message.js";

/** The name of the open section; "channels" is one on narrow screens only. */
export const section = signal("live");
/** Where one is within the section: what its link has to say beside the name, such as the table that is open. */
export const place = signal("");
/** The open message; it stays here when the list has let it go. */
export const selected = signal(/** @type {import("./message.js").Message | null} */ (null));
/** The name of the open tab of the detail, where the message has it. */
export const tab = signal("diff");
/** Of whom the tab Why tells, where several are compared: an identity's id. */
export const whyFor = signal("");
/** Whether the list stays at its end. */
export const following = signal(true);
/** Messages from this number on are kept but not listed yet; Infinity while nothing is paused. */
export const pausedFrom = signal(Infinity);
export const paused = computed(() => pausedFrom.value !== Infinity);
/** The newest number that had been listed when the list stopped following. */
const seenUntil = signal(Infinity);

/** How many rows there are to list now: while paused, those of before. */
const countRows = () => (paused.value ? view.place(pausedFrom.value) : view.length);

/** The same as it was drawn last. */
export const listedRows = computed(() => {
  revision.value;
  return countRows();
});

/** How many rows came since the list stopped following. */
export const newer = computed(() => {
  revision.value;
  const from = Math.min(seenUntil.value, pausedFrom.value);
  return from === Infinity ? 0 : view.length - view.place(from);
});

/** Moves when somebody else's receipt joined the open message, and not with every other message. */
export const selectedRevision = computed(() => {
  revision.value;
  return selected.value?.revision ?? 0;
});

export const evictedSelection = computed(() => {
  revision.value;
  return selected.value !== null && selected.value.seq < ring.first;
});

export function follow() {
  batch(() => {
    pausedFrom.value = Infinity;
    seenUntil.value = Infinity;
    following.value = true;
  });
}

export function unfollow() {
  if (!following.value) return;
  batch(() => {
    following.value = false;
    seenUntil.value = ring.next;
  });
}

export function togglePause() {
  if (paused.value) {
    follow();
  } else {
    batch(() => {
      pausedFrom.value = ring.next;
      following.value = false;
    });
  }
}

/** Opens a message; the list stops moving under it. */
export function select(/** @type {import("./message.js").Message | null} */ message) {
  sought = { eventId: "", from: 0, tab: "" };
  batch(() => {
    selected.value = message;
    if (message) unfollow();
  });
}

/** The change that a link names and that has not been there yet, and from which number on it has still to be looked for. */
let sought = { eventId: "", from: 0, tab: "" };
effect(() => {
  revision.value;
  if (sought.eventId) untracked(look);
});

function look() {
  const found = eventNamed(sought.eventId, sought.from);
  sought.from = ring.next;
  if (found) openWith(found, sought.tab);
}

/** Opens the change that a link names, as soon as it is there, with the tab that it names. The service may know why without it. */
export function seek(eventId, openTab) {
  sought = { eventId, from: 0, tab: openTab };
  if (eventId) look();
  if (!sought.eventId || openTab !== "why") return;
  const absent = new Message("change", "change", "", NaN);
  absent.eventId = eventId;
  batch(() => {
    selected.value = absent;
    tab.value = openTab;
  });
}

function openWith(message, name) {
  batch(() => {
    select(message);
    if (name) tab.value = name;
  });
}

/** Opens a message and asks why this identity got it or not. */
export function selectWhy(/** @type {import("./message.js").Message} */ message, who) {
  batch(() => {
    whyFor.value = who;
    openWith(message, "why");
  });
}

/** Opens the message `by` rows further, counted from the open one or from the end. */
export function selectStep(by) {
  const last = countRows() - 1;
  if (last < 0) return;
  const here = selected.value ? view.place(selected.value.seq) : last + (by < 0 ? 1 : 0);
  const onRow = selected.value !== null && view.at(here) === selected.value;
  const next = selected.value ? here + (by > 0 && !onRow ? by - 1 : by) : last;
  select(view.at(Math.max(0, Math.min(last, next))) ?? null);
}

/** Opens a section, at a place of its own. */
export function goTo(name, at = "") {
  batch(() => {
    section.value = name;
    place.value = at;
    drawer.value = false;
  });
}

/**
 * @typedef {{ kind: "identity", preset?: "user" | "anon", compare?: boolean, stay?: boolean } | { kind: "join", name?: string } | { kind: "claims", id: string }
 *   | { kind: "keys" } | { kind: "more" } | { kind: "previews" } | { kind: "record" } | { kind: "columns" } | { kind: "difference" }
 *   | { kind: "disconnect", connection: import("../admin.js").Connection }} OpenDialog
 */
export const dialog = signal(/** @type {OpenDialog | null} */ (null));
/** Whether the channels are pulled out over the list, where there is no room for them beside it. */
export const drawer = signal(false);
/** Something that went wrong and has no better place; stays until it is closed. */
export const notice = signal("");

export function closeDialog() {
  dialog.value = null;
}
