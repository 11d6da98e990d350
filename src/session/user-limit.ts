// How many of something one user may have at a time: chats, or runs that have not ended. What is counted is named in a small
// log of the user's own before it is made, so the answer of that append says how much other nodes have named meanwhile. Ends
// are not named. So a node knows a number that is never too small without reading, and counts only when that number reaches
// the limit.
import type { Appended } from '../broker/broker.ts';
import type { Clock } from '../clock.ts';
import { isTerminal } from './chat-event.ts';
import type { Decision } from './decide.ts';
import { SessionError } from './errors.ts';
import type { Principal, SessionRef } from './session-ref.ts';

/** Users of whom this node knows a number. Beyond it the one who was asked for longest ago is forgotten, and read again. */
export const COUNTED_USERS_MAX = 10_000;

/** Where in the user's log a number was read. */
export interface ReadPlace {
  /** Undefined where there is no log. */
  readonly epoch: string | undefined;
  readonly next: number;
}

/** What a limit counts. Each one has an id of its own. */
export interface CountedThing {
  readonly code: 'too-many-sessions' | 'too-many-runs';
  /** Names one more in the user's log. */
  add(principal: Principal, ref: SessionRef): Promise<Appended>;
  /** What the log names, of which some may be no more. */
  countNamed(principal: Principal): Promise<ReadPlace & { readonly count: number }>;
  /** What there is: looks at each that is named. */
  find(principal: Principal): Promise<ReadPlace & { readonly found: Iterable<string> }>;
}

export interface UserLimitOptions {
  readonly max: number;
  readonly clock: Clock;
  /** A user who was found to have too many is refused for this long without another look, where nothing was freed here. */
  readonly restMs: number;
}

/** One that was let in and is not made yet, as far as this node knows. */
interface Entering {
  readonly id: string;
  /** It is part of `named`. */
  isNamed: boolean;
}

interface Tally {
  epoch: string | undefined;
  /** Where the log of the user ended when `named` was right. */
  next: number;
  named: number;
  readonly entering: Set<Entering>;
  /** All that were entering at some time of the look that is under way, which may have missed them. */
  lookedAway: Set<Entering> | undefined;
  looking: Promise<void> | undefined;
  refusedUntil: number;
}

/** What one command was told; it leaves when it is done, whatever came of it. */
export interface Admitted {
  /** @throws SessionError too-many-sessions, too-many-runs */
  mustFit(): void;
  leave(): void;
}

export const UNLIMITED: Admitted = { mustFit: () => undefined, leave: () => undefined };

/** A command that ends as many runs as it queues needs no room. @throws SessionError too-many-sessions, too-many-runs */
export function mustFit(places: readonly Admitted[], decision: Decision): Decision {
  if (!decision.drafts.some(({ event }) => isTerminal(event))) for (const place of places) place.mustFit();
  return decision;
}

export class UserLimit {
  readonly #thing: CountedThing;
  readonly #options: UserLimitOptions;
  /** Who was asked for last stands last. */
  readonly #tallies = new Map<string, Tally>();

  constructor(thing: CountedThing, options: UserLimitOptions) {
    this.#thing = thing;
    this.#options = options;
  }

  /** Takes room for one more, of this id. @throws BrokerError */
  async enter(principal: Principal, ref: SessionRef, id: string): Promise<Admitted> {
    const tally = this.#tallyOf(principal);
    if (this.#isFull(tally, 1)) await this.#lookAgain(principal, tally);
    // Nothing is awaited between this and what takes the room.
    if (this.#isFull(tally, 1)) return this.#refuse(tally);
    const one = { id, isNamed: false };
    tally.entering.add(one);
    tally.lookedAway?.add(one);
    const leave = (): void => void tally.entering.delete(one);
    try {
      await this.#name(principal, ref, tally, one);
      // Other nodes may have named more than this one knew of.
      if (this.#isFull(tally, 0)) await this.#lookAgain(principal, tally);
      if (!this.#isFull(tally, 0)) return { mustFit: () => undefined, leave };
    } catch (error) {
      leave();
      throw error;
    }
    leave();
    tally.named -= 1;
    return this.#refuse(tally);
  }

  /** Something of this user's was removed here. */
  onFreed(principal: Principal): void {
    const tally = this.#tallies.get(keyOf(principal));
    if (tally !== undefined) tally.refusedUntil = 0;
  }

  #refuse(tally: Tally): Admitted {
    const { clock, restMs } = this.#options;
    if (clock.mono() >= tally.refusedUntil) tally.refusedUntil = clock.mono() + restMs;
    return {
      mustFit: () => {
        throw new SessionError(this.#thing.code, { limit: this.#options.max });
      },
      leave: () => undefined,
    };
  }

  #isFull(tally: Tally, more: number): boolean {
    return tally.named + countUnnamed(tally) + more > this.#options.max;
  }

  /** Of a hundred that find no room at once, one looks. */
  async #lookAgain(principal: Principal, tally: Tally): Promise<void> {
    if (this.#options.clock.mono() < tally.refusedUntil) return;
    tally.looking ??= this.#look(principal, tally).finally(() => (tally.looking = undefined));
    await tally.looking;
  }

  async #look(principal: Principal, tally: Tally): Promise<void> {
    const lookedAway = new Set(tally.entering);
    tally.lookedAway = lookedAway;
    const { epoch, next, found } = await this.#thing.find(principal).finally(() => (tally.lookedAway = undefined));
    for (const one of lookedAway) one.isNamed = true;
    Object.assign(tally, { epoch, next, named: new Set([...found, ...[...lookedAway].map(({ id }) => id)]).size });
  }

  async #name(principal: Principal, ref: SessionRef, tally: Tally, one: Entering): Promise<void> {
    const { epoch, first, next } = await this.#thing.add(principal, ref);
    if (epoch === tally.epoch) {
      if (next > tally.next) Object.assign(tally, { next, named: tally.named + next - tally.next - (one.isNamed && first >= tally.next ? 1 : 0) });
    } else {
      // Nothing is known of this user here, or the log began anew.
      const { count: named, ...place } = first === 0 ? { epoch, next, count: 1 } : await this.#thing.countNamed(principal);
      if (tally.epoch !== place.epoch || tally.next < place.next) Object.assign(tally, { ...place, named });
    }
    one.isNamed = true;
  }

  #tallyOf(principal: Principal): Tally {
    const key = keyOf(principal);
    const tally = this.#tallies.get(key) ?? { epoch: undefined, next: 0, named: 0, entering: new Set(), lookedAway: undefined, looking: undefined, refusedUntil: 0 };
    this.#tallies.delete(key);
    this.#tallies.set(key, tally);
    if (this.#tallies.size <= COUNTED_USERS_MAX) return tally;
    for (const oldest of this.#tallies.keys()) {
      this.#tallies.delete(oldest);
      break;
    }
    return tally;
  }
}

function countUnnamed({ entering }: Tally): number {
  let count = 0;
  for (const { isNamed } of entering) if (!isNamed) count += 1;
  return count;
}

/** A tenant's name has no slash. */
function keyOf({ tenant, user }: Principal): string {
  return `${tenant}/${user}`;
}
