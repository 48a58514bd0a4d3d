// What the person wants listed: the search, and the kinds and verdicts that are switched on.
import { computed, signal } from "../vendor/preact.js";
import { parseSearch } from "./search.js";

export const CHIPS = /** @type {const} */ (["change", "broadcast", "presence", "system", "denied", "skipped", "reply"]);
export const OFF_AT_FIRST = ["skipped", "reply"];

export const query = signal("");
/** Chips that are switched off. */
export const off = signal(new Set(OFF_AT_FIRST));
const read = computed(() => parseSearch(query.value));
export const problem = computed(() => read.value.problem);
/** The last search that made sense: while one types an invalid one the list stays as it was. */
export const search = (() => {
  let last = parseSearch("");
  return computed(() => {
    if (!read.value.problem) last = read.value;
    return last;
  });
})();

/** Which chip a message belongs to by kind: errors count as system messages, gaps to none. */
export function chipOf(kind) {
  return kind === "error" ? "system" : kind;
}

/** Whether the chips let a kind with this verdict through. A gap is always listed. */
export function listed(kind, verdict, /** @type {Set<string>} */ without) {
  if (kind === "gap") return true;
  if (without.has(chipOf(kind))) return false;
  if (verdict === "denied" || verdict === "raised") return !without.has("denied");
  return verdict !== "skipped" || !without.has("skipped");
}

export function toggleChip(chip) {
  const next = new Set(off.value);
  if (!next.delete(chip)) next.add(chip);
  off.value = next;
}

/** Only this kind, or everything again where that is so already. Verdict chips stay as they are. */
export function onlyChip(chip) {
  const kinds = ["change", "broadcast", "presence", "system", "reply"];
  if (!kinds.includes(chip)) return toggleChip(chip);
  const others = kinds.filter((kind) => kind !== chip);
  const alone = !off.value.has(chip) && others.every((kind) => off.value.has(kind));
  const verdicts = ["denied", "skipped"].filter((verdict) => off.value.has(verdict));
  off.value = new Set(alone ? OFF_AT_FIRST : [...others, ...verdicts]);
}

/** Lists everything that there is. */
export function showAll() {
  query.value = "";
  off.value = new Set();
}
