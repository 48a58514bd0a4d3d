// Which of the kept messages are listed, in order, and how many of each kind there would be: kept up to date message by message.

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./verdicts.js").Mark} Mark
 * @typedef {{ concerns: (message: Message) => boolean, verdict: (message: Message) => Mark,
 *   passes: (message: Message) => boolean, lists: (kind: string, verdict: Mark) => boolean }} Rules
 *   whom it concerns, its mark for who looks, whether it passes the search, and whether its kind and mark are switched on
 */

const SLICE_MS = 8;
const COMPACT = 4096;

export class View {
  /** @param {import("./ring.js").Ring} ring @param {Rules} rules */
  constructor(ring, rules) {
    this.ring = ring;
    this.rules = rules;
    /** What the present rules list so far; the same array as `rows` once everything has been judged. */
    this.building = /** @type {Message[]} */ ([]);
    /** How many at the front of it were evicted. */
    this.gone = 0;
    this.concerned = 0;
    /** Counts by "kind verdict" of messages that pass the search. */
    this.tally = /** @type {Map<string, number>} */ (new Map());
    /** Messages before this number have been judged by the present rules. */
    this.judged = 0;
    this.rows = /** @type {Message[]} */ ([]);
    this.head = 0;
    /** How many listed rows were evicted so far. */
    this.dropped = 0;
    /** Moves when the whole list is another one. */
    this.generation = 0;
  }

  clear() {
    this.building = [];
    this.gone = 0;
    this.concerned = 0;
    this.tally = new Map();
  }

  get length() {
    return this.rows.length - this.head;
  }

  /** @returns {Message | undefined} */
  at(index) {
    return this.rows[this.head + index];
  }

  /** The place of a message in the list, or where it would stand. */
  place(seq) {
    let low = this.head;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low - this.head;
  }

  get busy() {
    return this.judged < this.ring.next;
  }

  get hidden() {
    return this.concerned - this.length;
  }

  /** Judges everything anew, in slices; what was listed stays until the first pass is complete. */
  restart() {
    this.clear();
    this.judged = this.ring.first;
    this.advance();
  }

  /** Judges what has not been judged yet, for a few milliseconds at most. */
  advance() {
    const end = performance.now() + SLICE_MS;
    this.judged = Math.max(this.judged, this.ring.first);
    while (this.judged < this.ring.next) {
      const message = this.ring.get(this.judged);
      this.judged += 1;
      if (message) this.add(message, true);
      if (this.judged % 256 === 0 && performance.now() > end) return;
    }
    if (this.rows === this.building) return;
    this.rows = this.building;
    this.head = this.gone;
    this.generation += 1;
  }

  add(message, last) {
    const { rules } = this;
    message.hit = false;
    message.listed = false;
    if (!rules.concerns(message)) return;
    this.concerned += 1;
    message.verdict = rules.verdict(message);
    message.hit = rules.passes(message);
    if (message.hit) this.count(message, 1);
    message.listed = message.hit && rules.lists(message.kind, message.verdict);
    if (!message.listed) return;
    if (last) this.building.push(message);
    else this.insert(message);
  }

  insert(message) {
    let place = this.building.length;
    while (place > this.gone && this.building[place - 1].seq > message.seq) place -= 1;
    this.building.splice(place, 0, message);
  }

  remove(message) {
    if (message.hit) this.count(message, -1);
    if (this.rules.concerns(message)) this.concerned -= 1;
    if (!message.listed) return;
    const place = this.building.lastIndexOf(message);
    if (place >= 0) this.building.splice(place, 1);
  }

  /** Another identity's receipt joined a message: judge it again. `before` runs the change between the two. */
  change(message, before) {
    const known = message.seq >= this.ring.first && message.seq < this.judged;
    if (known) this.remove(message);
    before();
    message.revision += 1;
    if (known) this.add(message, false);
  }

  /** The oldest message is about to go. */
  evict(message) {
    if (message.seq < this.judged) {
      if (message.hit) this.count(message, -1);
      if (this.rules.concerns(message)) this.concerned -= 1;
      if (message.listed && this.building[this.gone] === message) this.gone += 1;
    }
    if (this.rows[this.head] === message) {
      this.head += 1;
      this.dropped += 1;
    }
    if (this.rows === this.building) this.compact();
  }

  compact() {
    this.head = this.gone;
    if (this.gone < COMPACT || this.gone < this.rows.length / 2) return;
    this.rows.splice(0, this.gone);
    this.head = this.gone = 0;
  }

  count(message, by) {
    const key = `${message.kind} ${message.verdict}`;
    this.tally.set(key, (this.tally.get(key) ?? 0) + by);
  }

  /** Listed kinds or marks were switched: choose again among what passes the search, without searching again. */
  relist() {
    if (this.busy) return this.restart();
    this.building = [];
    this.gone = 0;
    for (let seq = this.ring.first; seq < this.ring.next; seq += 1) {
      const message = this.ring.get(seq);
      if (!message) continue;
      message.listed = message.hit && this.rules.lists(message.kind, message.verdict);
      if (message.listed) this.building.push(message);
    }
    this.rows = this.building;
    this.head = 0;
    this.generation += 1;
  }
}
