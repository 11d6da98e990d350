// When a chat that has never existed is looked for again: another device or tab may create it under the same id. The
// waits grow and their number has a bound, so an address of no chat costs a server a few requests and then none.
import type { Environment } from '../environment.ts';

/** Upper bound of the first wait, in ms; each further one doubles it. */
const FIRST_LOOK_MS = 2_000;
const LOOK_MS_MAX = 60_000;
/** About five minutes. A returning device, or the caller, starts the count again. */
export const LOOKS_MAX = 9;

export class MissingChat {
  readonly #environment: Environment;
  readonly #look: () => void;
  #looks = 0;
  #cancel: (() => void) | undefined;

  constructor(environment: Environment, look: () => void) {
    this.#environment = environment;
    this.#look = look;
  }

  /** Plans the next look, unless all were used. */
  lookLater(): void {
    this.cancel();
    if (this.#looks >= LOOKS_MAX) return;
    const ceiling = Math.min(LOOK_MS_MAX, FIRST_LOOK_MS * 2 ** this.#looks);
    this.#looks += 1;
    // At least half of it: readers of one address must not come back in step, and none of them at once.
    this.#cancel = this.#environment.after(Math.floor(ceiling * (0.5 + this.#environment.random() / 2)), this.#look);
  }

  /** The chat was found, or there is a reason to expect it now. */
  forget(): void {
    this.cancel();
    this.#looks = 0;
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
