// The identities that the person looks through: each one an impersonation session with its own socket and channels.
import { batch, effect, signal } from "../vendor/preact.js";
import { ApiError, socketAddress, startImpersonation, stopImpersonation } from "../api.js";
import { Channel } from "../wire/channel.js";
import { Socket } from "../wire/socket.js";
import { channels, dropChannel, keepChannel } from "./channels.js";
import { now } from "./clock.js";
import { accept } from "./feed.js";
import { compared, labels, viewed } from "./lens.js";
import { compareClocks } from "./offset.js";
import { addDivider, beginOutage, endOutage, resumeOutage } from "./outages.js";
import { applyPresence, forgetPresence } from "./presence.js";
import { rememberRecent } from "./recents.js";
import { blame, loadConfig, token } from "./session.js";
import { clockTime } from "../format.js";

export const MOST = 4;
export const EXTEND_BELOW_MS = 60_000;
const KEPT = "inspector.identities";
const LETTERS = "ABCD";

/**
 * What is known of an identity; replaced as a whole when anything changes. Times in ms. `role` and `claims` are what the
 * server resolved, `ask` is what was asked for. `why`: why it ended, or why its connection is refused.
 * @typedef {{ id: string, letter: string, name: string, label: string, ask: import("../api.js").Ask, kind: string, role: string,
 *   claims: Record<string, unknown>, reason: string, expiresAt: number, access: string, sessions: string[],
 *   state: "live" | "ended" | "recorded", why: string, news: import("../wire/socket.js").SocketNews | null,
 *   channels: Record<string, { state: import("../wire/channel.js").ChannelState, why: string }> }} Identity
 */

/** @type {import("../vendor/preact.js").Signal<Identity[]>} */
export const identities = signal([]);
/** @type {Map<string, { socket: Socket, channels: Map<string, Channel> }>} */
const links = new Map();

effect(() => {
  for (const { id, name, label, role, claims } of identities.value) labels.set(id, [name, label, role, claims.sub ?? ""].join("\n"));
});

export function identityOf(id) {
  return identities.value.find((one) => one.id === id);
}

export function live() {
  return identities.value.filter((one) => one.state === "live");
}

/** Everybody whose receipts can be looked at side by side: live views, or those of a recording. */
export function watchable() {
  return identities.value.filter((one) => one.state !== "ended");
}

/** @param {Partial<Identity>} change */
function update(id, change) {
  identities.value = identities.value.map((one) => (one.id === id ? { ...one, ...change } : one));
}

// --- beginning -------------------------------------------------------------------------------------------------------

/** Starts a view: asks the service for the session, then connects as that identity. Throws ApiError with the refusal. */
export async function become(/** @type {import("../api.js").Ask} */ ask) {
  if (live().length >= MOST) throw new ApiError(0, "TOO_MANY", `At most ${MOST} views at a time`, "Stop one of them first.");
  const started = await asking(startImpersonation(token.value, ask));
  /** @type {Identity} */
  const identity = { ...described(ask, started), letter: freeLetter(), state: "live", why: "", news: null, channels: {} };
  rememberRecent(ask);
  batch(() => {
    forgetEnded();
    identities.value = [...identities.value, identity];
    if (compared.value.length) compared.value = [...compared.value, identity.id];
    viewed.value = identity.id;
  });
  remember();
  connect(identity.id);
  return identity;
}

async function asking(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ApiError) blame(error);
    throw error;
  }
}

/** @param {import("../api.js").Ask} ask @param {import("../api.js").Started} started */
function described(ask, started) {
  const { session, target_user: user, access_token: access, expires_in: seconds, identity } = started;
  const email = user?.email || ask.user?.email || "";
  const names = { anon: "anon", service: "service", role: ask.role, user: email.split("@")[0] || ask.user?.id.slice(0, 8) };
  const label = { anon: "anon", service: identity.role, role: ask.role, user: email || ask.user?.id };
  return {
    id: session.id,
    name: String(names[ask.kind]),
    label: String(label[ask.kind]),
    ask,
    kind: ask.kind,
    role: identity.role,
    claims: identity.claims,
    reason: session.reason,
    // Counted from here, since the two clocks need not agree.
    expiresAt: Date.now() + seconds * 1000,
    access,
    sessions: [session.id],
  };
}

function freeLetter() {
  const taken = live().map((one) => one.letter);
  return [...LETTERS].find((letter) => !taken.includes(letter)) ?? "";
}

function forgetEnded() {
  identities.value = identities.value.filter((one) => one.state === "live");
}

function connect(id) {
  const address = () => socketAddress(identityOf(id)?.access ?? "").href;
  const beat = (sent, answered, { time }) => compareClocks(sent, answered, time);
  const socket = new Socket(address, { frame: (frame) => received(id, frame), news: (news) => heard(id, news), beat });
  links.set(id, { socket, channels: new Map() });
  for (const plan of channels.value) addChannel(id, plan);
  socket.open();
}

function addChannel(id, plan) {
  const link = links.get(id);
  if (!link) return;
  const told = (state, why) => toldOf(id, plan.name, state, why);
  const channel = new Channel(link.socket, plan, () => identityOf(id)?.access ?? "", told);
  link.channels.set(plan.name, channel);
  if (link.socket.isOpen) channel.join();
}

function toldOf(id, name, state, why) {
  const known = identityOf(id);
  if (!known) return;
  const { [name]: _, ...others } = known.channels;
  update(id, { channels: state === "left" ? others : { ...known.channels, [name]: { state, why } } });
  const link = links.get(id);
  if (state === "joining" && link?.channels.get(name)?.resume) resumeOutage(id);
  if (state === "joined" && link?.socket.isOpen) endOutage(id);
}

// --- hearing ---------------------------------------------------------------------------------------------------------

function heard(id, news) {
  const known = identityOf(id);
  if (!known) return;
  update(id, { news });
  if (news.state === "open") {
    const link = links.get(id);
    for (const channel of link?.channels.values() ?? []) channel.join();
    if (!link?.channels.size) endOutage(id);
  } else if (news.state === "waiting") {
    forgetPresence(id);
    if (news.opened) beginOutage(id, known.name);
    // Whether the server is gone or only refuses this token, its other door tells.
    loadConfig();
  }
}

function received(id, frame) {
  accept(frame, id);
  applyPresence(frame, id, Date.now());
  if (frame.topic === "phoenix") reachMoment(id, frame.payload.response?.moment);
  const channel = [...(links.get(id)?.channels.values() ?? [])].find((one) => one.topic === frame.topic);
  if (!channel?.owns(frame)) return;
  const told = frame.payload.verdict ?? frame.payload;
  if (!told.more) channel.reach(told.event_id);
  if (frame.event === "system" && frame.payload.status === "error") channel.complaint = String(frame.payload.message ?? "");
  if (frame.event === "phx_close" && !channel.gone) channel.refuse(channel.complaint || "The server closed the channel");
  if (frame.event === "phx_error") channel.refuse("The channel failed on the server");
}

/** The reply to a heartbeat says how far the changes are that were sent: nothing lately is something, too. */
function reachMoment(id, moment) {
  for (const channel of links.get(id)?.channels.values() ?? []) if (channel.isJoined) channel.reach(moment);
}

// --- channels --------------------------------------------------------------------------------------------------------

/** Joins a channel as every identity; one of that name is joined anew with what changed. */
export function joinEverywhere(/** @type {import("../wire/channel.js").ChannelPlan} */ plan) {
  const again = channels.value.some((one) => one.name === plan.name);
  keepChannel(plan);
  for (const { id } of live()) {
    const channel = links.get(id)?.channels.get(plan.name);
    if (!channel) {
      addChannel(id, plan);
    } else {
      forgetPresence(id, channel.topic);
      channel.change(plan);
    }
  }
  const who = live().map((one) => one.id);
  if (again && who.length) addDivider(`${plan.name}: joined again at ${clockTime(Date.now())} with other settings.`, who);
}

export function leaveEverywhere(name) {
  dropChannel(name);
  for (const { id } of live()) {
    const channel = links.get(id)?.channels.get(name);
    if (!channel) continue;
    links.get(id)?.channels.delete(name);
    forgetPresence(id, channel.topic);
    channel.leave();
  }
}

/** The channel of an identity, to send through. */
export function channelFor(id, name) {
  return links.get(id)?.channels.get(name);
}

// --- ending ----------------------------------------------------------------------------------------------------------

/** Ends a view at once: here first, then on the server. Resolves with a sentence where the server could not be told. */
export async function stop(id) {
  const known = identityOf(id);
  if (!known || known.state === "ended") return "";
  end(id, "You stopped this view.");
  const answers = await Promise.allSettled(known.sessions.map((session) => stopImpersonation(token.value, session)));
  const failed = answers.find((answer) => answer.status === "rejected" && answer.reason.status !== 404);
  if (failed?.status !== "rejected") return "";
  return `The server could not be told that ${known.name}’s view stopped: ${failed.reason.message}. It ends by itself.`;
}

function end(id, why) {
  endOutage(id);
  forgetPresence(id);
  links.get(id)?.socket.close();
  links.delete(id);
  update(id, { state: "ended", why, access: "", channels: {} });
  batch(() => {
    const rest = compared.value.filter((one) => one !== id);
    compared.value = rest.length > 1 ? rest : [];
    const next = live()[0];
    if (viewed.value === id && next) viewed.value = next.id;
    identities.value = identities.value.filter((one) => one.state === "live" || one.id === viewed.value);
  });
  remember();
}

/** Asks for the same view again and goes on with the new token on the same connection. */
export async function extend(id) {
  const known = identityOf(id);
  if (!known) return;
  const started = await asking(startImpersonation(token.value, known.ask));
  const { access, expiresAt, role, claims } = described(known.ask, started);
  update(id, { access, expiresAt, role, claims, sessions: [...known.sessions, started.session.id] });
  for (const channel of links.get(id)?.channels.values() ?? []) channel.push("access_token", { access_token: access });
  remember();
}

/** Ends the views whose time is over; the server refuses their tokens from now on. */
export function endExpired() {
  for (const one of live()) {
    if (one.expiresAt > now.value) continue;
    end(one.id, `This view ended by itself at ${clockTime(one.expiresAt)}.`);
    addDivider(`${one.name}’s view ended by itself at ${clockTime(one.expiresAt)}.`, [one.id]);
  }
}

/** Tries every lost connection now. */
export function hurryAll() {
  for (const { socket } of links.values()) socket.hurry();
  loadConfig();
}

// --- remembering -----------------------------------------------------------------------------------------------------

/** Views survive a reload of this tab, as their sessions do on the server. */
function remember() {
  const kept = live().map(({ news, channels: _, ...rest }) => rest);
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
}

/** Takes up the views of before a reload. */
export function recallIdentities() {
  let kept = [];
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  } catch {
    return;
  }
  identities.value = kept.filter((one) => one.expiresAt > Date.now()).map((one) => ({ ...one, news: null, channels: {} }));
  if (!identities.value.length) return;
  viewed.value = identities.value[0].id;
  for (const { id } of identities.value) connect(id);
}
