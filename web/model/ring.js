// Keeps the newest messages, bounded by number and by bytes; what had to go is counted.

export class Ring {
  /** @param {number} capacity @param {number} byteCapacity @param {(message: any) => void} evicting told before each one goes */
  constructor(capacity, byteCapacity, evicting) {
    this.capacity = capacity;
    this.byteCapacity = byteCapacity;
    this.evicting = evicting;
    /** @type {import("./message.js").Message[]} */
    this.slots = [];
    this.first = 0;
    this.next = 0;
    this.bytes = 0;
    /** How many were taken out on purpose. */
    this.cleared = 0;
  }

  get size() {
    return this.next - this.first;
  }

  /** How many had to go so far; numbering begins at 0, so the number of the oldest that is left counts all that went. */
  get evicted() {
    return this.first - this.cleared;
  }

  /** Takes out what comes before a number, which is no eviction. */
  clearBefore(seq) {
    for (; this.first < seq; this.cleared += 1) this.evict();
  }

  /** Numbers and keeps a message; the oldest go until both bounds hold. */
  push(message) {
    message.seq = this.next;
    while (this.size > 0 && (this.size >= this.capacity || this.bytes + message.bytes > this.byteCapacity)) this.evict();
    this.slots[this.next % this.capacity] = message;
    this.next += 1;
    this.bytes += message.bytes;
  }

  evict() {
    const oldest = this.slots[this.first % this.capacity];
    this.evicting(oldest);
    this.bytes -= oldest.bytes;
    this.first += 1;
  }

  /** Adds to what a kept message weighs, after another identity's frame joined it. */
  grow(bytes) {
    this.bytes += bytes;
  }

  /** @returns {import("./message.js").Message | undefined} */
  get(seq) {
    return seq >= this.first && seq < this.next ? this.slots[seq % this.capacity] : undefined;
  }
}
