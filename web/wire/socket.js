// One WebSocket of one identity: heartbeat, replies by reference, and reconnecting with growing, jittered pauses.
import { decode, encode } from "./frames.js";

const HEARTBEAT_MS = 25_000;
/** A second heartbeat soon after the first: two compare the clocks better than one that met a busy start. */
const SECOND_BEAT_MS = 1000;
const OWN_BEATS = 2;
const REPLY_MS = 10_000;
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 10_000];

/**
 * @typedef {"connecting" | "open" | "waiting" | "closed"} SocketState
 * @typedef {{ state: SocketState, attempt: number, retryAt: number, since: number, code: number, reason: string,
 *   opened: boolean }} SocketNews  `since`: when the state began; `retryAt`: when the next attempt starts;
 *   `opened`: whether the connection that ended had been open at all. All times in ms since 1970.
 */

/** Keeps one connection up until `close()`. */
export class Socket {
  /**
   * @param {() => string} address asked before each attempt, since the token in it may have been renewed
   * @param {{ frame: (frame: import("./frames.js").Frame) => void, news: (news: SocketNews) => void,
   *   beat: (sent: number, received: number, response: any) => void }} receiver  `beat`: a heartbeat was answered
   */
  constructor(address, receiver) {
    this.address = address;
    this.receiver = receiver;
    this.refs = 0;
    this.attempt = 0;
    /** @type {Map<string, { done: (reply: any) => void, timer: number, event: string }>} */
    this.waiting = new Map();
    /** @type {WebSocket | null} */
    this.link = null;
    this.wanted = false;
    /** The reference of the heartbeat that has not been answered yet. */
    this.beatRef = /** @type {string | null} */ (null);
    this.beatAt = 0;
    /** Heartbeats on this connection so far; the first two are the page's own business and no rows. */
    this.beats = 0;
    this.timers = { retry: 0, beat: 0, soon: 0 };
  }

  open() {
    this.wanted = true;
    this.attempt += 1;
    clearTimeout(this.timers.retry);
    this.tell("connecting");
    const link = new WebSocket(this.address());
    link.binaryType = "arraybuffer";
    this.link = link;
    let opened = false;
    link.onopen = () => {
      opened = true;
      this.attempt = 0;
      this.beat();
      this.tell("open");
    };
    link.onmessage = (message) => this.receive(message.data);
    link.onclose = (event) => this.link === link && this.lost(event, opened);
  }

  /** Ends the connection for good. */
  close() {
    this.wanted = false;
    const link = this.link;
    this.drop();
    link?.close(1000, "");
    this.tell("closed");
  }

  /** Ends the pause before the next attempt. */
  hurry() {
    if (this.wanted && !this.link) this.open();
  }

  get isOpen() {
    return this.link?.readyState === WebSocket.OPEN;
  }

  nextRef() {
    this.refs += 1;
    return String(this.refs);
  }

  /** Sends a ready frame; false where nothing is connected. */
  sendFrame(frame) {
    if (!this.isOpen) return false;
    this.link?.send(frame);
    return true;
  }

  /** Sends a push and waits for its reply: `{ status, response }`, with status "timeout" or "offline" where none came. */
  push(joinRef, topic, event, payload) {
    const ref = this.nextRef();
    const sent = this.sendFrame(encode(event === "phx_join" ? ref : joinRef, ref, topic, event, payload));
    return sent ? this.reply(ref, event) : Promise.resolve({ status: "offline", response: {} });
  }

  /** The reply to the push of `event` with this reference. */
  reply(ref, event) {
    return new Promise((done) => {
      const timer = window.setTimeout(() => this.settle(ref, { status: "timeout", response: {} }), REPLY_MS);
      this.waiting.set(ref, { done, timer, event });
    });
  }

  settle(ref, reply) {
    const waiting = this.waiting.get(ref);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.waiting.delete(ref);
    waiting.done(reply);
  }

  receive(data) {
    const frame = decode(data);
    if (!frame) return;
    if (frame.event === "phx_reply" && frame.ref !== null) frame.answers = this.waiting.get(frame.ref)?.event ?? "";
    if (frame.topic === "phoenix" && frame.ref === this.beatRef) {
      this.beatRef = null;
      this.receiver.beat(this.beatAt, Date.now(), frame.payload.response);
      if (this.beats <= OWN_BEATS) return;
    }
    // The row is made before the promise resolves, so a reply stands in the list before what it causes.
    this.receiver.frame(frame);
    if (frame.event === "phx_reply" && frame.ref !== null) this.settle(frame.ref, frame.payload);
  }

  beat() {
    clearInterval(this.timers.beat);
    this.beatRef = null;
    this.beats = 0;
    this.sendBeat();
    this.timers.soon = window.setTimeout(() => this.beatRef ?? this.sendBeat(), SECOND_BEAT_MS);
    this.timers.beat = window.setInterval(() => {
      if (this.beatRef) this.link?.close(1000, "heartbeat timeout");
      else this.sendBeat();
    }, HEARTBEAT_MS);
  }

  sendBeat() {
    this.beatRef = this.nextRef();
    this.beatAt = Date.now();
    this.beats += 1;
    this.sendFrame(encode(null, this.beatRef, "phoenix", "heartbeat", {}));
  }

  lost(event, opened) {
    this.drop();
    if (!this.wanted) return;
    const pause = PAUSES_MS[Math.min(this.attempt, PAUSES_MS.length - 1)] * (0.75 + Math.random() / 2);
    this.timers.retry = window.setTimeout(() => this.open(), pause);
    this.tell("waiting", { code: event.code, reason: event.reason, retryAt: Date.now() + pause, opened });
  }

  drop() {
    clearInterval(this.timers.beat);
    clearTimeout(this.timers.retry);
    clearTimeout(this.timers.soon);
    this.link = null;
    for (const ref of [...this.waiting.keys()]) this.settle(ref, { status: "offline", response: {} });
  }

  /** @param {SocketState} state @param {Partial<SocketNews>} more */
  tell(state, more = {}) {
    const plain = { code: 0, reason: "", retryAt: 0, opened: false };
    this.receiver.news({ state, attempt: this.attempt, since: Date.now(), ...plain, ...more });
  }
}
