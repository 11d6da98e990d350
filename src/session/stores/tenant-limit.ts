// Limits how many chats of one tenant wait for a worker, over all agents. The engine counts them; this node requests
// the count only now and then, and adds what it has accepted since. So below the limit no prompt waits for a count, and
// none is refused by an old one. Asks of runs do not count: the runs that wait for them are under way.
import type { GroupBroker } from '../../broker/broker.ts';
import { isRetryable } from '../../broker/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { SessionError } from '../errors.ts';
import { requestGroup } from '../topic-names.ts';
import { UNLIMITED, type Admitted } from './user-limit.ts';

/** Tenants with a tally on this node. Beyond it the least recently used tally is dropped, and counted again. */
export const COUNTED_TENANTS_MAX = 10_000;
/** Agents of which a gateway without configured agents counts what waits: those that prompts named last. */
export const COUNTED_AGENTS_MAX = 64;
/** A count is older than this only while no prompt comes, or while less than half of the limit waits. */
export const COUNT_MS = 1_000;
const FAR_COUNT_MS = 10_000;
/** Above this part of the room that the last count has left, this node counts again. */
const ROOM_PART = 8;

export interface TenantLimitOptions {
  readonly broker: Pick<GroupBroker, 'countWaiting'>;
  readonly clock: Clock;
  /** Chats of the tenant that may wait. */
  readonly maxOf: (tenant: string) => number;
  /** Undefined: prompts may name any agent. */
  readonly agents: Iterable<string> | undefined;
  /** Called with faults of a count. The prompt that asked for it is accepted. */
  readonly onError: (error: unknown) => void;
}

interface Tally {
  /** At the last count. */
  waiting: number;
  /** Accepted since it began. */
  added: number;
  /** Monotonic: the start of the last count. */
  countedAt: number;
  counting: Promise<void> | undefined;
  /** Commands that were accepted and have not ended. The count may miss what they queue. */
  entering: number;
}

export class TenantLimit {
  readonly #options: TenantLimitOptions;
  /** In order of use, the latest last. At most COUNTED_TENANTS_MAX. */
  readonly #tallies = new Map<string, Tally>();
  /** In order of use, the latest last. */
  readonly #agents: Set<string>;

  constructor(options: TenantLimitOptions) {
    this.#options = options;
    this.#agents = new Set(options.agents);
  }

  /** Admits one more run for this agent, or returns an admission that does not fit. */
  async enter(tenant: string, agent: string): Promise<Admitted> {
    this.#note(agent);
    const tally = this.#tallyOf(tenant);
    const max = this.#options.maxOf(tenant);
    if (this.#isOld(tally, max)) void this.#recount(tenant, tally);
    // Only a fresh count refuses. A count in progress may have begun too early.
    for (let counts = 0; counts < 2 && isFull(tally, max) && this.#mayBeLess(tally); counts += 1)
      await this.#recount(tenant, tally);
    if (isFull(tally, max)) return refused(max, tally.waiting + tally.added);
    tally.added += 1;
    tally.entering += 1;
    return { ...UNLIMITED, leave: () => void (tally.entering -= 1) };
  }

  #isOld({ waiting, added, entering, countedAt }: Tally, max: number): boolean {
    const ageMs = this.#options.clock.mono() - countedAt;
    if (ageMs >= (2 * (waiting + added) < max ? FAR_COUNT_MS : COUNT_MS)) return true;
    return added > entering && added > (max - waiting) / ROOM_PART;
  }

  /** Some of what was counted, or accepted since, may not wait any more. */
  #mayBeLess({ added, entering, countedAt, counting }: Tally): boolean {
    return counting !== undefined || added > entering || this.#options.clock.mono() >= countedAt + COUNT_MS;
  }

  async #recount(tenant: string, tally: Tally): Promise<void> {
    tally.counting ??= this.#count(tenant, tally).finally(() => (tally.counting = undefined));
    await tally.counting;
  }

  async #count(tenant: string, tally: Tally): Promise<void> {
    const { broker, clock, onError } = this.#options;
    const before = tally.added - tally.entering;
    tally.countedAt = clock.mono();
    try {
      const counts = await broker.countWaiting(
        [...this.#agents].map((agent) => requestGroup(agent, 0)),
        tenant,
      );
      tally.waiting = counts.reduce((sum, { high, normal, low }) => sum + high + normal + low, 0);
      tally.added -= before;
    } catch (error) {
      // A prompt is not refused because of a count that is not known. A storage that is away refuses it by itself.
      Object.assign(tally, { waiting: 0, added: tally.entering });
      if (!isRetryable(error)) onError(error);
    }
  }

  #note(agent: string): void {
    if (this.#options.agents !== undefined) return;
    this.#agents.delete(agent);
    this.#agents.add(agent);
    const [oldest] = this.#agents;
    if (oldest !== undefined && this.#agents.size > COUNTED_AGENTS_MAX) this.#agents.delete(oldest);
  }

  #tallyOf(tenant: string): Tally {
    const tally = this.#tallies.get(tenant) ?? {
      waiting: 0,
      added: 0,
      countedAt: -Infinity,
      counting: undefined,
      entering: 0,
    };
    this.#tallies.delete(tenant);
    this.#tallies.set(tenant, tally);
    const [oldest] = this.#tallies.keys();
    if (oldest !== undefined && this.#tallies.size > COUNTED_TENANTS_MAX) this.#tallies.delete(oldest);
    return tally;
  }
}

function isFull({ waiting, added }: Tally, max: number): boolean {
  return waiting + added + 1 > max;
}

function refused(limit: number, used: number): Admitted {
  return {
    ...UNLIMITED,
    isRefused: true,
    mustFit: () => {
      throw new SessionError('too-many-waiting', { limit, reached: { quota: 'waiting', used } });
    },
  };
}
