// Gap rows: from the moment a connection is lost until it is back, nobody behind it saw anything, and the list says so.
import { addGap, changeGap } from "./feed.js";
import { clockTime, duration, listed } from "../format.js";

const TOGETHER_MS = 3000;

/** @typedef {{ message: import("./message.js").Message, since: number, down: Set<string>, names: Map<string, string>,
 *   resumed: boolean }} Outage  `resumed`: the changes that were missed were asked for again */
/** @type {Set<Outage>} */
const open = new Set();

/** An identity's connection was lost. Connections lost together share a row. */
export function beginOutage(who, name) {
  if (outageOf(who)) return;
  const since = Date.now();
  const shared = [...open].find((outage) => since - outage.since < TOGETHER_MS && outage.down.size === outage.names.size);
  if (!shared) {
    const outage = { message: addGap(lostText(since), [who]), since, down: new Set([who]), names: new Map([[who, name]]), resumed: false };
    open.add(outage);
    return;
  }
  shared.down.add(who);
  shared.names.set(who, name);
  changeGap(shared.message, (message) => message.receipts.push({ ...message.receipts[0], who }));
}

/** An identity asks for the changes that it missed. */
export function resumeOutage(who) {
  const outage = outageOf(who);
  if (outage) outage.resumed = true;
}

/** An identity is connected and joined again, or no longer wanted. */
export function endOutage(who) {
  const outage = outageOf(who);
  if (!outage) return;
  outage.down.delete(who);
  if (outage.down.size) return;
  open.delete(outage);
  changeGap(outage.message, (message) => {
    const names = listed([...outage.names.values()]);
    const rest = outage.resumed ? "Missed changes follow; missed broadcasts do not." : "What happened meanwhile is not here.";
    message.text = `Connection of ${names} lost for ${duration(Date.now() - outage.since)}. ${rest}`;
    message.healed = true;
  });
}

function outageOf(who) {
  return [...open].find((outage) => outage.down.has(who));
}

function lostText(since) {
  return `Lost the server at ${clockTime(since)}.`;
}

/** A row that a view ended, or that something changed about what is heard: a divider that is already over. */
export function addDivider(text, who) {
  changeGap(addGap(text, who), (message) => {
    message.healed = true;
  });
}
