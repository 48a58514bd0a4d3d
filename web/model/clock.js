// The page's one clock: a signal that moves once a second, for everything that counts down or ages.
import { signal } from "../vendor/preact.js";

/** ms since 1970 */
export const now = signal(Date.now());

export function startClock() {
  const step = () => {
    now.value = Date.now();
    setTimeout(step, 1000 - (Date.now() % 1000));
  };
  step();
}
