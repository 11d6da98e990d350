// What limits a user's commands: the chats and the runs of the user, and what waits for the user's tenant. Subagent
// sessions and their runs do not count. How a limit counts is in user-limit.ts and tenant-limit.ts.
import type { Appended, Broker } from '../../broker/broker.ts';
import type { Clock } from '../../base/clock.ts';
import { addToChatList, countNamedChats, findChats, type NamedChat } from './chat-list.ts';
import type { CommandLog } from '../commands/command-log.ts';
import { countNamedRuns, findOpenRuns, nameOpenRun } from './open-runs.ts';
import type { Principal, SessionRef } from '../session-ref.ts';
import type { TenantLimit } from './tenant-limit.ts';
import { UNLIMITED, UserLimit, type Admitted } from './user-limit.ts';

/** A count of a user's chats describes each of their topics, so a refused user is not counted again within this
 *  time. */
const FULL_LIST_REST_MS = 1_000;

export interface UserLimitsOptions {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  /** 0: no limit. At most CHAT_LIST_MAX, or the list does not name all chats that count. */
  readonly sessionsMax: number;
  /** 0: no limit. */
  readonly runsMax: number;
  /** TTL of a new chat. Undefined: chats expire. */
  readonly chatTtlMs?: number;
  /** The limit of the user's tenant. Undefined: none. */
  readonly tenants?: TenantLimit;
}

interface EnteringRun {
  readonly runId: string;
  readonly agent: string;
}

export class UserLimits {
  readonly #options: UserLimitsOptions;
  readonly #sessions: UserLimit | undefined;
  readonly #runs: UserLimit | undefined;

  constructor(options: UserLimitsOptions) {
    const { broker, log, clock, sessionsMax, runsMax } = options;
    const sessions = {
      code: 'too-many-sessions',
      add: (principal: Principal, chat: NamedChat) => this.#addToChatList(principal, chat),
      countNamed: (principal: Principal) => countNamedChats(broker, principal),
      find: (principal: Principal) => findChats(broker, principal, clock.now()),
    } as const;
    const runs = {
      code: 'too-many-runs',
      add: (principal: Principal, ref: SessionRef) => nameOpenRun(broker, principal, ref, clock.now()),
      countNamed: (principal: Principal) => countNamedRuns(broker, principal),
      find: (principal: Principal) => findOpenRuns(broker, log, principal, clock.now()),
    } as const;
    this.#options = options;
    this.#sessions =
      sessionsMax === 0
        ? undefined
        : new UserLimit(sessions, { max: sessionsMax, clock, restMs: FULL_LIST_REST_MS, isNamedFirst: true });
    // A run may end on any node, and the next prompt must not be refused because of it. So there is no rest.
    this.#runs =
      runsMax === 0 ? undefined : new UserLimit(runs, { max: runsMax, clock, restMs: 0, isNamedFirst: false });
  }

  /** Before a chat is created: names it in the user's list. A chat that is not listed is named there for the limit, and
   *  marked. @throws SessionError too-many-sessions */
  async enterSession(principal: Principal, ref: SessionRef, isListed = true): Promise<Admitted> {
    const chat: NamedChat = isListed ? ref : { ...ref, isUnlisted: true };
    if (this.#sessions === undefined) {
      if (isListed) await this.#addToChatList(principal, chat);
      return UNLIMITED;
    }
    const admitted = await this.#sessions.enter(principal, chat, ref.sessionId);
    admitted.mustFit();
    return admitted;
  }

  /** Before a run is queued. The caller calls `mustFit`, because a retry of a prompt needs no room. */
  async enterRun(principal: Principal, ref: SessionRef, { runId, agent }: EnteringRun): Promise<Admitted> {
    const tenant = (await this.#options.tenants?.enter(principal.tenant, agent)) ?? UNLIMITED;
    // A run that does not fit is not named.
    if (this.#runs === undefined || tenant.isRefused === true) return tenant;
    try {
      return both(tenant, await this.#runs.enter(principal, ref, runId));
    } catch (error) {
      tenant.leave();
      throw error;
    }
  }

  #addToChatList(principal: Principal, chat: NamedChat): Promise<Appended> {
    const { broker, clock, chatTtlMs = 0 } = this.#options;
    return addToChatList(broker, principal, chat, { now: clock.now(), chatTtlMs });
  }

  onSessionRemoved(principal: Principal): void {
    this.#sessions?.onFreed(principal);
  }
}

function both(one: Admitted, other: Admitted): Admitted {
  if (one === UNLIMITED) return other;
  return {
    mustFit: () => {
      one.mustFit();
      other.mustFit();
    },
    settled: async () => {
      await one.settled();
      await other.settled();
    },
    leave: () => {
      one.leave();
      other.leave();
    },
  };
}
