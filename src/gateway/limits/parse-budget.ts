// Limits how much JSON the gateway parses for one user: a bucket of bytes that refills at a rate per second. The cost
// of parsing, checking, hashing and storing a body grows with its bytes, and all users share the event loop that pays
// it.
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../session/session-ref.ts';
import { callerOf } from './addresses.ts';
import { userKey } from './admission.ts';
import { GatewayError } from '../gateway-error.ts';

/** What a value of large JSON costs beside its text, in bytes of text: the parser for large JSON (`large-json.ts`)
 *  builds lists and objects of many values in pieces, and takes half as much CPU again for them as JSON.parse. */
const LARGE_VALUE_BYTES = 24;
/** Users whose budget is kept. Beyond this number the user idle for the longest time is dropped and has a full budget
 *  again. */
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
  /** By user, in the order of their last spending. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: ParseBudgetLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** @throws GatewayError too-many, and then spends nothing */
  spend(principal: Principal, bytes: number): void {
    this.#spend(userKey(principal), bytes);
  }

  /** For what is parsed before its user is known: all callers of one address have the budget of one user.
   *  @throws GatewayError too-many, and then spends nothing */
  spendOfAddress(address: string, bytes: number): void {
    // No tenant is empty, so no user has this key.
    this.#spend(`/${callerOf(address)}`, bytes);
  }

  /** For large JSON, once its values are counted. What the user has not left is missing from the next texts. */
  chargeValues(principal: Principal, values: number): void {
    this.#chargeValues(userKey(principal), values);
  }

  chargeValuesOfAddress(address: string, values: number): void {
    this.#chargeValues(`/${callerOf(address)}`, values);
  }

  #chargeValues(user: string, values: number): void {
    const bucket = this.#buckets.get(user);
    // The text itself was charged. Without a bucket this user is one of too many, whose budget was forgotten meanwhile.
    if (bucket !== undefined) bucket.left -= values * LARGE_VALUE_BYTES;
  }

  #spend(user: string, bytes: number): void {
    const { parseBytesPerSecond, parseBytesBurst } = this.#limits;
    const now = this.#clock.mono();
    const { left, at } = this.#buckets.get(user) ?? { left: parseBytesBurst, at: now };
    const available = Math.min(parseBytesBurst, left + ((now - at) / 1000) * parseBytesPerSecond);
    // The size of a single text has a bound of its own, so a text above the burst costs a full bucket and is not
    // refused.
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
