// Limits how many chats, or runs that have not ended, one user may have at a time. Each one is named in a small log of
// the user before it is created, so the answer to that append shows how many other nodes have named meanwhile. Ends are
// not named. So a node holds a number that is never too small, without reading, and counts only when that number
// reaches the limit.
import type { Appended } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { isTerminal } from '../events/chat-event.ts';
import type { Decision } from '../commands/decisions.ts';
import { SessionError } from '../errors.ts';
import type { Principal, SessionRef } from '../session-ref.ts';

/** Users with a tally on this node. Beyond it the least recently used tally is dropped, and read again when needed. */
export const COUNTED_USERS_MAX = 10_000;

/** With less room than this part of the limit, a command waits until it is named. */
const MARGIN_PART = 8;

/** The end of the user's log at the time of a count. */
export interface ReadUpTo {
  /** Undefined where there is no log. */
  readonly epoch: string | undefined;
  readonly next: number;
}

/** What a limit counts. Each one has an id of its own. */
export interface CountedThing {
  readonly code: 'too-many-sessions' | 'too-many-runs';
  /** Names one more in the user's log. */
  add(principal: Principal, ref: SessionRef): Promise<Appended>;
  /** The number of names in the log. Some of the named things may be gone. */
  countNamed(principal: Principal): Promise<ReadUpTo & { readonly count: number }>;
  /** The ids that exist. Checks each that is named. */
  find(principal: Principal): Promise<ReadUpTo & { readonly found: Iterable<string> }>;
}

export interface UserLimitOptions {
  readonly max: number;
  readonly clock: Clock;
  /** A count reads much. So a node that has refused a user refuses this user for this many ms without another count.
   *  When one of the user's chats is removed on this node, the node may count again at once. */
  readonly restMs: number;
  /** Nothing may be created before the log names it, not even if the append fails. */
  readonly isNamedFirst: boolean;
}

/** One that was admitted and, as far as this node knows, is not created yet. */
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
  /** All that were entering during the count in progress, which may have missed them. */
  enteredMeanwhile: Set<Entering> | undefined;
  /** The last append to the log failed: the next one must succeed before anything is admitted. */
  hasFailed: boolean;
  counting: Promise<void> | undefined;
  /** The first count in progress. */
  countingNamed: Promise<void> | undefined;
  refusedUntil: number;
}

/** The admission of one command. The command calls `leave` when it ends, also if it failed. */
export interface Admitted {
  /** `mustFit` throws. */
  readonly isRefused?: true;
  /** @throws SessionError too-many-sessions, too-many-runs */
  mustFit(): void;
  /** After the command: it is named as durably as it was done. @throws BrokerError unavailable: it was done, and is not
   *  named */
  settled(): Promise<void>;
  leave(): void;
}

export const UNLIMITED: Admitted = {
  mustFit: () => undefined,
  settled: () => Promise.resolve(),
  leave: () => undefined,
};

/** Runs a command under its admissions. An admission ends last: a run or chat that was created but is not named yet
 *  must count as entering. Otherwise this node would admit more than the limit while an append to the user's log is
 *  slow. */
export async function admitted<T>(admissions: readonly Admitted[], command: () => Promise<T>): Promise<T> {
  try {
    const done = await command();
    for (const admission of admissions) await admission.settled();
    return done;
  } finally {
    for (const admission of admissions) admission.leave();
  }
}

/** A command that ends as many runs as it queues needs no room. @throws SessionError too-many-sessions,
 *  too-many-runs */
export function mustFit(admissions: readonly Admitted[], decision: Decision): Decision {
  if (!decision.drafts.some(({ event }) => isTerminal(event))) for (const admission of admissions) admission.mustFit();
  return decision;
}

export class UserLimit {
  readonly #thing: CountedThing;
  readonly #options: UserLimitOptions;
  /** In order of use, the latest last. At most COUNTED_USERS_MAX. */
  readonly #tallies = new Map<string, Tally>();

  constructor(thing: CountedThing, options: UserLimitOptions) {
    this.#thing = thing;
    this.#options = options;
  }

  /** Admits one more, with this id, or returns an admission that does not fit. @throws BrokerError */
  async enter(principal: Principal, ref: SessionRef, id: string): Promise<Admitted> {
    const tally = this.#tallyOf(principal);
    if (this.#isFull(tally, 1)) await this.#recount(principal, tally);
    // No await between this check and the entry into `entering`.
    if (this.#isFull(tally, 1)) return this.#refuse(tally);
    const isFast = this.#isFarFromFull(tally);
    const one = { id, isNamed: false };
    tally.entering.add(one);
    tally.enteredMeanwhile?.add(one);
    const leave = (): void => void tally.entering.delete(one);
    const naming = this.#name(principal, ref, tally, one);
    if (isFast) return letIn(naming, leave);
    try {
      await naming;
      // Other nodes may have named more in the meantime.
      if (this.#isFull(tally, 0)) await this.#recount(principal, tally);
      if (!this.#isFull(tally, 0)) return letIn(naming, leave);
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
      settled: () => Promise.resolve(),
      leave: () => undefined,
    };
  }

  /** Far from the limit a command does not wait until its run is named: both appends become durable together. The node
   *  learns a little late what other nodes have named, so only one command at a time may do so. */
  #isFarFromFull(tally: Tally): boolean {
    const { max, isNamedFirst } = this.#options;
    const isKnown = !isNamedFirst && tally.epoch !== undefined && !tally.hasFailed;
    return isKnown && countUnnamed(tally) === 0 && tally.named + 1 <= max - Math.max(2, max / MARGIN_PART);
  }

  #isFull(tally: Tally, more: number): boolean {
    return tally.named + countUnnamed(tally) + more > this.#options.max;
  }

  /** Commands that find no room at the same time share one count. */
  async #recount(principal: Principal, tally: Tally): Promise<void> {
    if (this.#options.clock.mono() < tally.refusedUntil) return;
    tally.counting ??= this.#count(principal, tally).finally(() => (tally.counting = undefined));
    await tally.counting;
  }

  async #count(principal: Principal, tally: Tally): Promise<void> {
    const enteredMeanwhile = new Set(tally.entering);
    tally.enteredMeanwhile = enteredMeanwhile;
    const { epoch, next, found } = await this.#thing
      .find(principal)
      .finally(() => (tally.enteredMeanwhile = undefined));
    for (const one of enteredMeanwhile) one.isNamed = true;
    Object.assign(tally, {
      epoch,
      next,
      named: new Set([...found, ...[...enteredMeanwhile].map(({ id }) => id)]).size,
    });
  }

  async #name(principal: Principal, ref: SessionRef, tally: Tally, one: Entering): Promise<void> {
    const { epoch, first, next } = await this.#add(principal, ref, tally);
    // This node has no number of this user, or the log has a new epoch.
    if (epoch !== tally.epoch && first === 0) Object.assign(tally, { epoch, next, named: 1 });
    // A count that began before this append may be of an earlier epoch. The next count is not.
    for (let counts = 0; counts < 2 && epoch !== tally.epoch; counts += 1) await this.#countNamed(principal, tally);
    if (epoch === tally.epoch && next > tally.next)
      Object.assign(tally, {
        next,
        named: tally.named + next - tally.next - (one.isNamed && first >= tally.next ? 1 : 0),
      });
    one.isNamed = true;
  }

  /** The first commands of a user share one count. */
  async #countNamed(principal: Principal, tally: Tally): Promise<void> {
    tally.countingNamed ??= this.#thing
      .countNamed(principal)
      .then(({ count: named, epoch, next }) => {
        if (tally.epoch !== epoch || tally.next < next) Object.assign(tally, { epoch, next, named });
      })
      .finally(() => (tally.countingNamed = undefined));
    await tally.countingNamed;
  }

  async #add(principal: Principal, ref: SessionRef, tally: Tally): Promise<Appended> {
    try {
      const appended = await this.#thing.add(principal, ref);
      tally.hasFailed = false;
      return appended;
    } catch (error) {
      tally.hasFailed = true;
      throw error;
    }
  }

  #tallyOf(principal: Principal): Tally {
    const key = keyOf(principal);
    const tally = this.#tallies.get(key) ?? {
      epoch: undefined,
      next: 0,
      named: 0,
      entering: new Set(),
      enteredMeanwhile: undefined,
      hasFailed: false,
      counting: undefined,
      countingNamed: undefined,
      refusedUntil: 0,
    };
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

function letIn(naming: Promise<void>, leave: () => void): Admitted {
  let failed: unknown;
  const ended = naming.catch((error: unknown) => (failed = error));
  return {
    mustFit: () => undefined,
    settled: async () => {
      await ended;
      // Not the error code of the failed append, which would mean that nothing was written.
      if (failed !== undefined)
        throw new BrokerError('unavailable', 'it was done and could not be counted', { cause: failed });
    },
    leave,
  };
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
