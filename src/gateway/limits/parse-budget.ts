// How much JSON one user may have parsed: a bucket of bytes that fills by so many a second. Parsing, checking, hashing and
// storing a body all cost what its bytes are, and they cost it in the one event loop that everybody shares.
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../session/session-ref.ts';
import { userKey } from './admission.ts';
import { GatewayError } from '../gateway-error.ts';

/** Users whose budget is known. Beyond it the one who was idle longest is forgotten, and may spend a full budget again. */
export const BUDGETS_MAX = 10_000;

export interface ParseBudgetLimits {
  readonly parseBytesPerSecond: number;
  readonly parseBytesBurst: number;
}

interface Bucket {
  left: number;
  /** By the monotonic clock. */
  at: number;
}

export class ParseBudget {
  readonly #limits: ParseBudgetLimits;
  readonly #clock: Clock;
  /** Who spent last stands last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: ParseBudgetLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** @throws GatewayError too-many: nothing was spent */
  spend(principal: Principal, bytes: number): void {
    const { parseBytesPerSecond, parseBytesBurst } = this.#limits;
    const user = userKey(principal);
    const now = this.#clock.mono();
    const { left, at } = this.#buckets.get(user) ?? { left: parseBytesBurst, at: now };
    const available = Math.min(parseBytesBurst, left + ((now - at) / 1000) * parseBytesPerSecond);
    // A single text is never refused for its size alone: that has a bound of its own.
    const needed = Math.min(bytes, parseBytesBurst);
    if (available < needed) {
      const retryAfterMs = Math.ceil(((needed - available) / parseBytesPerSecond) * 1000);
      throw new GatewayError('too-many', { message: 'this user sends more than is read of one', retryAfterMs });
    }
    this.#buckets.delete(user);
    this.#buckets.set(user, { left: available - needed, at: now });
    if (this.#buckets.size <= BUDGETS_MAX) return;
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      break;
    }
  }
}
