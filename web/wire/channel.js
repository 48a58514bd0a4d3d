// One channel on one socket: joins, rejoins after a reconnect, leaves, and pushes with the right join reference.
import { encodeBroadcast } from "./frames.js";

const REJOIN_MS = [2000, 5000, 15_000, 60_000];

/**
 * @typedef {{ schema: string, table: string, event: string, filter: string, select: string[] }} Subscription
 * @typedef {{ name: string, self: boolean, ack: boolean, presence: boolean, presenceKey: string, private: boolean, replay: number,
 *   changes: Subscription[] }} ChannelPlan  what to hear on a channel; broadcasts are always heard. `replay`: how many of its
 *   stored broadcasts a private channel sends first
 * @typedef {"joining" | "joined" | "refused" | "left"} ChannelState
 */

/** The join payload for a plan. `verdicts` asks the server to say why a change was not delivered, `resume` to send what was missed. */
export function joinPayload(/** @type {ChannelPlan} */ plan, token, resume = "") {
  return {
    config: {
      broadcast: { ack: plan.ack, self: plan.self, ...(plan.private && plan.replay && { replay: { since: 1, limit: plan.replay } }) },
      presence: { key: plan.presenceKey, enabled: plan.presence },
      postgres_changes: plan.changes.map(wireSubscription),
      private: plan.private,
      verdicts: true,
      ...(resume && { resume }),
    },
    access_token: token,
  };
}

function wireSubscription({ schema, table, event, filter, select }) {
  const wire = { event, schema, table };
  if (filter) wire.filter = filter;
  if (select.length) wire.select = select;
  return wire;
}

/** A channel as one identity has it. */
export class Channel {
  /**
   * @param {import("./socket.js").Socket} socket
   * @param {ChannelPlan} plan
   * @param {() => string} token
   * @param {(state: ChannelState, why: string) => void} told
   */
  constructor(socket, plan, token, told) {
    this.socket = socket;
    this.plan = plan;
    this.token = token;
    this.told = told;
    this.topic = `realtime:${plan.name}`;
    /** @type {string | null} */
    this.joinRef = null;
    this.failures = 0;
    this.timer = 0;
    this.gone = false;
    /** The last complaint of the server about this channel: the reason if it closes it. */
    this.complaint = "";
    /** What the last join was given to come back with, and what was received since. */
    this.past = { token: "", reached: "" };
    this.isJoined = false;
  }

  /** Joins, or joins anew with a changed plan; a refusal is told and tried again with growing pauses. */
  async join() {
    clearTimeout(this.timer);
    this.told("joining", "");
    this.joinRef = String(this.socket.refs + 1);
    const mine = this.joinRef;
    this.isJoined = false;
    const reply = await this.socket.push(null, this.topic, "phx_join", joinPayload(this.plan, this.token(), this.resume));
    if (this.gone || mine !== this.joinRef) return;
    if (reply.status === "ok") {
      this.failures = 0;
      this.isJoined = true;
      this.past = { token: reply.response?.resume ?? "", reached: "" };
      this.told("joined", "");
    } else if (reply.status !== "offline") {
      this.refuse(reply.status === "timeout" ? "No answer within 10 s" : refusal(reply.response));
    }
  }

  /** The server refused or closed the channel: say why and try again later. */
  refuse(why) {
    this.told("refused", why);
    const pause = REJOIN_MS[Math.min(this.failures, REJOIN_MS.length - 1)];
    this.failures += 1;
    this.timer = window.setTimeout(() => this.join(), pause);
  }

  /** What to join with to be sent the changes that were missed; "" for those from now on. */
  get resume() {
    return [this.past.token, this.past.reached].filter(Boolean).join(".");
  }

  /** Everything up to this event, or this moment, has been received. */
  reach(position) {
    if (position && this.past.token) this.past.reached = position;
  }

  /** Joins anew with another plan; what came before is not asked for again. */
  change(/** @type {ChannelPlan} */ plan) {
    this.plan = plan;
    this.past = { token: "", reached: "" };
    return this.join();
  }

  leave() {
    this.gone = true;
    clearTimeout(this.timer);
    this.told("left", "");
    return this.socket.push(this.joinRef, this.topic, "phx_leave", {});
  }

  push(event, payload) {
    return this.socket.push(this.joinRef, this.topic, event, payload);
  }

  /** Sends a broadcast; resolves with the reply where the channel asked for acknowledgements, else with status "sent". */
  async broadcast(event, payload) {
    const ref = this.socket.nextRef();
    const sent = this.socket.sendFrame(encodeBroadcast(this.joinRef ?? "", ref, this.topic, event, payload));
    if (!sent) return { status: "offline", response: {} };
    return this.plan.ack ? this.socket.reply(ref, "broadcast") : { status: "sent", response: {} };
  }

  /** Whether a frame speaks to the current join: a late answer to an earlier one is not ours. */
  owns(frame) {
    return frame.topic === this.topic && (frame.joinRef === null || frame.joinRef === this.joinRef);
  }
}

/** The reason in a refusal's response, whatever shape it has. */
export function refusal(response) {
  if (typeof response === "string") return response;
  return response?.reason ?? response?.error ?? "The server gave no reason";
}
