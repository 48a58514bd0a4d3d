// What the page looks at, in the fragment of its address: a link that can be kept and sent. Never a token, never claims.
import { effect } from "../vendor/preact.js";
import { place, section, seek, tab } from "./choice.js";
import { channels, completed } from "./channels.js";
import { CHIPS, off, query } from "./filter.js";
import { joinEverywhere } from "./identities.js";

/** Sections that need no word in a link. */
const HERE = ["live", "channels"];

/** Takes up what a link says. Channels of the link are joined only where the tab has none of its own. */
export function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  section.value = said.get("section") ?? section.value;
  place.value = said.get("at") ?? "";
  query.value = said.get("q") ?? query.value;
  const without = said.get("off");
  if (without !== null) off.value = new Set(without.split(",").filter((chip) => CHIPS.some((known) => known === chip)));
  seek(said.get("e") ?? "", said.get("tab") ?? "");
  if (channels.value.length) return;
  for (const plan of plansIn(said.get("c"))) joinEverywhere(plan);
}

function plansIn(text) {
  try {
    const plans = JSON.parse(text ?? "[]");
    return Array.isArray(plans) ? plans.map(completed).filter((plan) => plan.name) : [];
  } catch {
    return [];
  }
}

/** The address of what is looked at now. */
export function linkToHere() {
  return `${location.origin}${location.pathname}#${fragment()}`;
}

function fragment() {
  const said = new URLSearchParams();
  if (!HERE.includes(section.value)) said.set("section", section.value);
  if (place.value) said.set("at", place.value);
  if (query.value) said.set("q", query.value);
  said.set("off", [...off.value].join());
  if (channels.value.length) said.set("c", JSON.stringify(channels.value));
  return said.toString();
}

/** The address of a message and of the tab that is open. It opens where the message is kept or still to come; its trace, where the service knows it. */
export function linkToMessage(/** @type {import("./message.js").Message} */ { eventId }) {
  return `${linkToHere()}&${new URLSearchParams({ e: eventId, tab: tab.value })}`;
}

/** Keeps the address in step with what is looked at. */
export function startAddress() {
  effect(() => {
    const next = `#${fragment()}`;
    if (next !== location.hash) history.replaceState(null, "", next);
  });
}
