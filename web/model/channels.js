// The channels that the person wants to hear, the same for every identity, kept for this tab.
import { signal } from "../vendor/preact.js";

/** @typedef {import("../wire/channel.js").ChannelPlan} ChannelPlan */

const KEPT = "inspector.channels";

/** @type {import("../vendor/preact.js").Signal<ChannelPlan[]>} */
export const channels = signal(recalled());

function recalled() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(kept) ? kept.map(completed) : [];
  } catch {
    return [];
  }
}

/** A plan with every field, whatever a link or an older page left out. @returns {ChannelPlan} */
export function completed(/** @type {Partial<ChannelPlan>} */ plan) {
  return {
    name: String(plan.name ?? ""),
    self: plan.self ?? true,
    ack: plan.ack ?? false,
    presence: plan.presence ?? true,
    presenceKey: plan.presenceKey ?? "",
    private: plan.private ?? false,
    replay: Number.isInteger(plan.replay) ? Math.max(0, Math.min(25, plan.replay ?? 0)) : 0,
    changes: (plan.changes ?? []).map(completedSubscription),
  };
}

/** @returns {import("../wire/channel.js").Subscription} */
export function completedSubscription(/** @type {Partial<import("../wire/channel.js").Subscription>} */ one = {}) {
  return {
    schema: one.schema ?? "public",
    table: one.table ?? "*",
    event: one.event ?? "*",
    filter: one.filter ?? "",
    select: one.select ?? [],
  };
}

/** Adds a channel, or replaces the one of that name. */
export function keepChannel(/** @type {ChannelPlan} */ plan) {
  const others = channels.value.some((one) => one.name === plan.name);
  channels.value = others ? channels.value.map((one) => (one.name === plan.name ? plan : one)) : [...channels.value, plan];
  remember();
}

export function dropChannel(name) {
  channels.value = channels.value.filter((plan) => plan.name !== name);
  remember();
}

export function channelOf(name) {
  return channels.value.find((plan) => plan.name === name);
}

function remember() {
  sessionStorage.setItem(KEPT, JSON.stringify(channels.value));
}

/** How a subscription is said in a few words: its events and filter. */
export function saySubscription({ event, filter, select }) {
  const parts = [event === "*" ? "any event" : event.toLowerCase()];
  if (filter) parts.push(sayFilter(filter));
  if (select.length) parts.push(`${select.length} ${select.length === 1 ? "column" : "columns"}`);
  return parts.join(", ");
}

const SIGNS = {
  eq: "=",
  neq: "≠",
  lt: "<",
  lte: "≤",
  gt: ">",
  gte: "≥",
  is: "is",
  in: "in",
  like: "like",
  ilike: "ilike",
  match: "matches",
  imatch: "matches",
  isdistinct: "is distinct from",
};

/** `total=gt.10` as `total > 10`; what is not understood stays as it is. */
export function sayFilter(filter) {
  const parts = /^([^=]+)=(not\.)?([a-z]+)\.(.*)$/s.exec(filter);
  if (!parts || filter.includes(",") || !(parts[3] in SIGNS)) return filter;
  return `${parts[1]} ${parts[2] ? "not " : ""}${SIGNS[parts[3]]} ${parts[4]}`;
}
