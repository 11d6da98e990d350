// Limits how much JSON the gateway parses for one user: a bucket of bytes that refills at a rate per second. The cost
// of parsing, checking, hashing and storing a body grows with its bytes, and all users share the event loop that pays
// it.
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../session/session-ref.ts';
import { callerOf } from './addresses.ts';
import { userKey } from './admission.ts';
import { GatewayError } from '../gateway-error.ts';
import { UserBuckets } from './user-buckets.ts';

/** What a value of large JSON costs beside its text, in bytes of text: the parser for large JSON (`large-json.ts`)
 *  builds lists and objects of many values in pieces, and takes half as much CPU again for them as JSON.parse. */
const LARGE_VALUE_BYTES = 24;

export interface ParseBudgetLimits {
  readonly parseBytesPerSecond: number;
  readonly parseBytesBurst: number;
}

export class ParseBudget {
  readonly #burst: number;
  readonly #buckets: UserBuckets;

  constructor({ parseBytesPerSecond: perSecond, parseBytesBurst: burst }: ParseBudgetLimits, clock: Clock) {
    this.#burst = burst;
    this.#buckets = new UserBuckets({ perSecond, burst }, clock);
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
    this.#buckets.take(userKey(principal), values * LARGE_VALUE_BYTES);
  }

  chargeValuesOfAddress(address: string, values: number): void {
    this.#buckets.take(`/${callerOf(address)}`, values * LARGE_VALUE_BYTES);
  }

  #spend(user: string, bytes: number): void {
    // The size of a single text has a bound of its own, so a text above the burst costs a full bucket and is not
    // refused.
    const needed = Math.min(bytes, this.#burst);
    const retryAfterMs = this.#buckets.msUntil(user, needed);
    if (retryAfterMs > 0)
      throw new GatewayError('too-many', { message: 'this user sends more than is read of one', retryAfterMs });
    this.#buckets.take(user, needed);
  }
}
