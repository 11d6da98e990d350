// Limits the number of valid tickets that one user has bought on this node. Each ticket is a topic until it expires.
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../session/session-ref.ts';
import { userKey } from '../limits/admission.ts';
import { GatewayError } from '../gateway-error.ts';

/** The number of users whose tickets this node counts: a bound on memory. Beyond it, the node drops the count of the
 *  user who has bought no ticket for the longest time, and that user's next ticket counts as the first. */
export const BUYERS_MAX = 10_000;

export class TicketQuota {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #ticketsMax: number;
  /** For each user, the times at which the user's tickets expire, in monotonic ms. A user who buys a ticket moves to
   *  the end of the map, so the first user of the map is the one to drop. */
  readonly #bought = new Map<string, number[]>();

  constructor(clock: Clock, ttlMs: number, ticketsMax: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#ticketsMax = ticketsMax;
  }

  /** Counts one more ticket. @throws GatewayError too-many */
  take(principal: Principal): void {
    const user = userKey(principal);
    const now = this.#clock.mono();
    const good = (this.#bought.get(user) ?? []).filter((until) => until > now);
    const [first = now] = good;
    if (good.length >= this.#ticketsMax) {
      throw new GatewayError('too-many', {
        message: `one user has at most ${this.#ticketsMax} tickets at once`,
        retryAfterMs: first - now,
      });
    }
    this.#bought.delete(user);
    this.#bought.set(user, [...good, now + this.#ttlMs]);
    if (this.#bought.size <= BUYERS_MAX) return;
    for (const oldest of this.#bought.keys()) {
      this.#bought.delete(oldest);
      break;
    }
  }
}
