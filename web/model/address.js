// What the page looks at, in the fragment of its address: a link that can be kept and sent. Never a token, never claims.
import { effect } from "../vendor/preact.js";
import { section } from "./choice.js";
import { channels, completed } from "./channels.js";
import { CHIPS, off, query } from "./filter.js";
import { joinEverywhere } from "./identities.js";

const SECTIONS = ["live", "presence", "send"];

/** Takes up what a link says. Channels of the link are joined only where the tab has none of its own. */
export function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const name = said.get("section") ?? "";
  if (SECTIONS.includes(name)) section.value = /** @type {any} */ (name);
  query.value = said.get("q") ?? query.value;
  const without = said.get("off");
  if (without !== null) off.value = new Set(without.split(",").filter((chip) => CHIPS.some((known) => known === chip)));
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
  if (section.value !== "live" && SECTIONS.includes(section.value)) said.set("section", section.value);
  if (query.value) said.set("q", query.value);
  said.set("off", [...off.value].join());
  if (channels.value.length) said.set("c", JSON.stringify(channels.value));
  return said.toString();
}

/** Keeps the address in step with what is looked at. */
export function startAddress() {
  effect(() => {
    const next = `#${fragment()}`;
    if (next !== location.hash) history.replaceState(null, "", next);
  });
}
