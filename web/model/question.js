// One question to the service at a time: whether it is being asked, what was answered last, or why nothing was.
import { signal } from "../vendor/preact.js";
import { ApiError } from "../api.js";
import { loadConfig } from "./session.js";

/**
 * `answer` stays while the next one is on its way, and goes when that was refused: old facts never stand beside a refusal.
 * @template T
 * @typedef {{ busy: boolean, answer: T | null, problem: ApiError | null, at: number, took: number }} Asked
 */

/** @type {Asked<any>} */
const NEVER = { busy: false, answer: null, problem: null, at: 0, took: 0 };

/** @template T */
export class Question {
  /** @param {(...given: any[]) => Promise<T>} fetch */
  constructor(fetch) {
    this.fetch = fetch;
    /** @type {import("../vendor/preact.js").Signal<Asked<T>>} */
    this.state = signal(NEVER);
    this.turn = 0;
  }

  /** Asks; an answer to an earlier question that comes later is not taken. Resolves when this one is over. */
  async ask(...given) {
    const mine = (this.turn += 1);
    const began = performance.now();
    this.state.value = { ...this.state.value, busy: true };
    const end = (change) => {
      if (mine !== this.turn) return;
      this.state.value = { ...NEVER, at: Date.now(), took: performance.now() - began, ...change };
    };
    try {
      end({ answer: await this.fetch(...given) });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      end({ problem: error });
      // Whether it is the server or the token, and not this question, its other door tells.
      if ([0, 401, 403].includes(error.status)) loadConfig();
    }
    return this.state.value;
  }

  /** Asks unless it was asked already. */
  once(...given) {
    const { busy, at } = this.state.peek();
    if (!busy && at === 0) this.ask(...given);
  }

  forget() {
    this.turn += 1;
    this.state.value = NEVER;
  }
}
