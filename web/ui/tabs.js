// The tabs of the detail, in order: for which messages each has something to say, and what draws it.
import { selected, tab } from "../model/choice.js";
import { comparing } from "../model/lens.js";
import { shownReceipt } from "../model/feed.js";
import { messageJson } from "../model/message.js";
import { offered } from "../model/previews.js";
import { copyText } from "./parts.js";

/**
 * `load` gives a component that is given `message` and `receipt` (what the identity in view got; undefined where nothing).
 * `key` opens it from anywhere in the list; `whole`: it says the verdict itself, so no sentence stands above it.
 * @typedef {{ name: string, words: string, key?: string, whole?: boolean, preview?: string,
 *   shows: (message: import("../model/message.js").Message) => boolean, load: () => Promise<any> }} Tab
 */

const isRow = (message) => shownReceipt(message)?.frame?.event === "postgres_changes";

/** Whether the service knows the event by an id, so that it can be asked about it. */
const isKnown = (message) => message.eventId !== "";

/** @type {Tab[]} */
export const TABS = [
  {
    name: "verdicts",
    words: "Verdicts",
    whole: true,
    shows: () => comparing.value,
    load: () => import("./verdicts.js").then((module) => module.Verdicts),
  },
  { name: "message", words: "Message", shows: () => true, load: () => import("./payload.js").then((module) => module.Payload) },
  { name: "diff", words: "Diff", key: "f", shows: isRow, load: () => import("./diff.js").then((module) => module.Diff) },
  {
    name: "why",
    words: "Why",
    key: "w",
    whole: true,
    shows: isKnown,
    load: () => import("./why.js").then((module) => module.Why),
  },
  { name: "who", words: "Who", whole: true, shows: isKnown, load: () => import("./who.js").then((module) => module.WhoElse) },
  { name: "timing", words: "Timing", shows: () => true, load: () => import("./timing.js").then((module) => module.Timing) },
  { name: "copy", words: "Copy as", shows: () => true, load: () => import("./copyas.js").then((module) => module.CopyAs) },
];

/** The tabs that have something to say about a message. */
export function tabsOf(message) {
  return TABS.filter((one) => offered(one) && one.shows(message));
}

/** Moves to the next tab, around the end. */
export function stepTab(by) {
  const message = selected.value;
  if (!message) return;
  const tabs = tabsOf(message);
  const here = Math.max(
    0,
    tabs.findIndex((one) => one.name === tab.value),
  );
  tab.value = tabs[(here + by + tabs.length) % tabs.length].name;
}

/** Copies the message as it came. */
export function copyMessage(message) {
  return copyText(messageJson(message, shownReceipt(message)));
}
