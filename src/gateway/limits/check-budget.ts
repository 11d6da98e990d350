// Limits how much CPU time the checks of one user's answers against JSON Schemas take: a bucket of ms that refills at
// a rate per second. A check holds the event loop that all users share, and only its end says what it cost. So a
// request whose user has some time left is checked to its end, and a user who owes time is refused.
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../session/session-ref.ts';
import type { CheckTime } from '../../session/waits/answer-checks.ts';
import { CHECK_MS_MAX } from '../../session/waits/input-schema.ts';
import { WAIT_INPUTS_MAX } from '../../session/waits/new-wait.ts';
import { GatewayError } from '../gateway-error.ts';
import { userKey } from './admission.ts';
import { UserBuckets } from './user-buckets.ts';

/** ms of CPU time that one user gets back per second: a tenth of the thread that serves all users of this node. */
export const CHECK_MS_PER_SECOND = 100;
/** As much as the answers to a whole wait may take. With less, a client that has them checked before it sends them
 *  could be refused each time. */
export const CHECK_MS_BURST = WAIT_INPUTS_MAX * CHECK_MS_MAX;

export class CheckBudget implements CheckTime {
  readonly #buckets: UserBuckets;

  constructor(clock: Clock) {
    this.#buckets = new UserBuckets({ perSecond: CHECK_MS_PER_SECOND, burst: CHECK_MS_BURST }, clock);
  }

  /** @throws GatewayError too-many */
  mustHaveSome(principal: Principal): void {
    const retryAfterMs = this.#buckets.msUntil(userKey(principal), 1);
    if (retryAfterMs > 0)
      throw new GatewayError('too-many', { message: 'the answers of this user take too long to check', retryAfterMs });
  }

  charge(principal: Principal, cpuMs: number): void {
    this.#buckets.take(userKey(principal), cpuMs);
  }
}
