// The keyboard map. Single keys work outside fields and dialogs, and can be switched off as a whole.
import { effect, signal } from "../vendor/preact.js";
import {
  closeDialog,
  dialog,
  drawer,
  follow,
  goTo,
  listedRows,
  section,
  select,
  selected,
  selectStep,
  tab,
  togglePause,
  unfollow,
} from "../model/choice.js";
import { view } from "../model/feed.js";
import { onlyChip, toggleChip } from "../model/filter.js";
import { live } from "../model/identities.js";
import { compared, comparing, looking } from "../model/lens.js";
import { linkToHere } from "../model/address.js";
import { marks, toggleMark } from "../model/marks.js";
import { stopAll } from "./lens.js";
import { reveal } from "./list.js";
import { copyText } from "./parts.js";
import { copyMessage, stepTab, tabsOf } from "./tabs.js";
import { flipTheme } from "./theme.js";
import { startComparing } from "./tools.js";

const KEPT = "inspector.single-keys";
export const singleKeys = signal(localStorage.getItem(KEPT) !== "off");
const CHIP_KEYS = {
  Digit1: "change",
  Digit2: "broadcast",
  Digit3: "presence",
  Digit4: "system",
  Digit5: "reply",
  Digit6: "denied",
};

/** @type {Record<string, () => void>} */
const ACTIONS = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  n: () => step(1),
  N: () => step(-1),
  PageDown: () => step(20),
  PageUp: () => step(-20),
  Home: () => toStart(),
  End: () => follow(),
  Enter: () => selected.value ?? step(-1),
  Escape: () => back(),
  " ": () => togglePause(),
  "/": () => focusSearch(),
  "[": () => stepTab(-1),
  "]": () => stepTab(1),
  x: () => selected.value && selected.value.kind !== "gap" && toggleMark(selected.value),
  d: () => compare(),
  i: () => (dialog.value = { kind: "identity" }),
  c: () => selected.value && copyMessage(selected.value),
  y: () => copyText(linkToHere()),
  b: () => goTo("send"),
  L: () => (live().length ? stopAll(live().map((one) => one.id)) : (dialog.value = { kind: "identity" })),
  J: () => (dialog.value = { kind: "join" }),
  t: () => flipTheme(),
  "?": () => (dialog.value = { kind: "keys" }),
};
/** Keys that belong to what has the focus, if that is something one operates. */
const OPERATING = new Set([" ", "Enter", "ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"]);
/** Keys that are no letters or signs stay on when single keys are off. */
const ALWAYS = new Set(["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "Enter", "Escape"]);

export function startKeys() {
  effect(() => localStorage.setItem(KEPT, singleKeys.value ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.value) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.closest("input, textarea, select, [contenteditable], [data-typing]")) return;
    if (OPERATING.has(event.key) && at.closest("button, a, summary, [role=tab], .d-body")) return;
    if (act(event)) event.preventDefault();
  });
}

function act(event) {
  if (event.key === "Escape" && event.shiftKey) {
    stopAll(looking.value);
    return true;
  }
  if (!singleKeys.value && !ALWAYS.has(event.key)) return false;
  const chip = CHIP_KEYS[event.code];
  if (chip && section.value === "live") {
    if (event.shiftKey) onlyChip(chip);
    else toggleChip(chip);
    return true;
  }
  const action = ACTIONS[event.key] ?? tabAction(event.key);
  action?.();
  return Boolean(action);
}

/** Opens the tab of a key, where the open message has it. */
function tabAction(key) {
  const entry = selected.value && tabsOf(selected.value).find((one) => one.key === key);
  return entry ? () => (tab.value = entry.name) : undefined;
}

function step(by) {
  if (section.value !== "live") return;
  selectStep(by);
  if (selected.value) reveal(selected.value);
}

function toStart() {
  if (!listedRows.value) return;
  unfollow();
  select(view.at(0) ?? null);
  if (selected.value) reveal(selected.value);
}

function back() {
  if (drawer.value) drawer.value = false;
  else if (selected.value) select(null);
  else if (section.value !== "live") goTo("live");
  else closeDialog();
}

/** Two marked messages, else views. */
function compare() {
  if (marks.value.length === 2) dialog.value = { kind: "difference" };
  else if (comparing.value) compared.value = [];
  else startComparing();
}

function focusSearch() {
  section.value = "live";
  requestAnimationFrame(() => document.getElementById("search")?.focus());
}
