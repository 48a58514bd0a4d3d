// Which columns the list has, and how it tells the time: chosen by the person, for this browser.
import { computed, signal } from "../vendor/preact.js";

const KEPT = "inspector.columns";

/** `width`: of its track; columns without `usual` are off until they are switched on. In the order of the list. */
export const COLUMNS = /** @type {const} */ ([
  { name: "time", words: "Time", width: "96px", usual: true },
  { name: "kind", words: "Kind", width: "24px", usual: true },
  { name: "op", words: "Event", width: "74px", usual: true },
  { name: "target", words: "Where", width: "minmax(120px, 150px)", usual: true },
  { name: "channel", words: "Channel", width: "minmax(60px, 110px)", usual: false },
  { name: "sum", words: "What changed", width: "minmax(0, 1fr)", usual: true },
  { name: "verdict", words: "Verdict", width: "74px", usual: true },
  { name: "lag", words: "Lag", width: "44px", usual: true },
  { name: "size", words: "Size", width: "58px", usual: false },
]);
/** Without these a row would say nothing. */
export const ALWAYS = ["op", "target", "verdict"];
export const TIMES = [
  ["clock", "Time of day", ""],
  ["age", "How long ago", ""],
  ["delta", "Since the row above", ""],
];

const usual = () => COLUMNS.filter((column) => column.usual).map((column) => column.name);
const kept = recalled();
/** @type {import("../vendor/preact.js").Signal<Set<string>>} */
export const columns = signal(new Set(kept.columns));
export const timeFormat = signal(kept.time);
const changed = computed(() => usual().join() !== COLUMNS.filter(({ name }) => columns.value.has(name)).map(({ name }) => name).join());

function recalled() {
  try {
    const { columns: names, time } = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    return { columns: Array.isArray(names) ? [...ALWAYS, ...names] : usual(), time: TIMES.some(([name]) => name === time) ? time : "clock" };
  } catch {
    return { columns: usual(), time: "clock" };
  }
}

export function toggleColumn(name) {
  const next = new Set(columns.value);
  if (!next.delete(name)) next.add(name);
  columns.value = next;
  remember();
}

export function chooseTime(format) {
  timeFormat.value = format;
  remember();
}

export function usualColumns() {
  columns.value = new Set(usual());
  chooseTime("clock");
}

function remember() {
  localStorage.setItem(KEPT, JSON.stringify({ columns: [...columns.value], time: timeFormat.value }));
}

/** The tracks of the grid, "" where the style sheet knows better. Lanes stand in place of verdict, lag and size. */
export function tracks(lanes) {
  if (!changed.value) return "";
  const shown = COLUMNS.filter(({ name }) => columns.value.has(name) && !(lanes && ["verdict", "lag", "size"].includes(name)));
  const wide = columns.value.has("sum") ? "sum" : "target"; // takes what is left
  const widths = shown.map(({ name, width }) => (name === wide ? "minmax(120px, 1fr)" : width));
  return ["24px", ...widths, ...(lanes ? [`repeat(${lanes}, 64px)`] : [])].join(" ");
}
