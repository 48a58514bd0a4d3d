// How numbers, times and names are written on the page.

const COUNT = new Intl.NumberFormat("en-US");

export function count(n) {
  return COUNT.format(n);
}

const two = (n) => String(n).padStart(2, "0");

/** Time of day with seconds, local. */
export function clockTime(ms) {
  const time = new Date(ms);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Hour and minute, local. */
export function hourMinute(ms) {
  return clockTime(ms).slice(0, 5);
}

/** The milliseconds of a time, with their point. */
export function milliseconds(ms) {
  return `.${String(new Date(ms).getMilliseconds()).padStart(3, "0")}`;
}

/** How long, in the largest unit that says enough: 640 ms, 2.1 s, 3 min 20 s, 2 h 5 min. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** Time left as mm:ss, or h:mm:ss; never below zero. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** Messages a second: one decimal below ten. */
export function rate(perSecond) {
  if (perSecond === 0) return "0";
  return perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}

/** An id cut to its two ends. */
export function shortId(id) {
  return id.length > 12 ? `${id.slice(0, 4)}…${id.slice(-4)}` : id;
}

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  return n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} kB` : `${(n / 1024 / 1024).toFixed(1)} MB`;
}

/** "alice", "alice and bob", "alice, bob and anon". */
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}
