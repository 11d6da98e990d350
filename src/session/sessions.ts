// The commands of an owner on a session: create, describe, list, update, remove, and read its history and runs.
// Commands that make or end runs are in runs.ts.
import { TTL_MS_MAX, type Broker } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import { encodePosition, type Position } from '../broker/position.ts';
import { isoTime, type Clock } from '../base/clock.ts';
import type { Attachments } from './attachments/attachments.ts';
import { readChatList, removedFromChatList } from './stores/chat-list.ts';
import { pageByAge, pageOfChats, type ListedChat, type PageEnd } from './stores/chat-pages.ts';
import { decodeEvent } from './events/chat-event.ts';
import { chatLifetimes, type ChatLifetimeOf } from './chat-lifetime.ts';
import type { CommandLog, LoadedState, Snapshot } from './commands/command-log.ts';
import { newCommandState, type CommandState } from './commands/command-state.ts';
import { decideGive, foldDrafts, type GiveCommand } from './commands/decisions.ts';
import { isDamage } from './commands/earlier-state.ts';
import { isSessionError, SessionError } from './errors.ts';
import { findBranch } from './history/find-branch-node.ts';
import { readFirstRun, startOfOpenRuns, type RunSettings } from './history/whole-chat.ts';
import { readHistory, type HistoryPage } from './history/history.ts';
import { endSoon, findAsks, expireRequests, removeAsks, removeExpiries } from './stores/leftovers.ts';
import type { LogPrefix } from './history/major-records.ts';
import { titledByPrompt } from './history/prompt-title.ts';
import { readRuns, type RunPage } from './history/run-pages.ts';
import { loadOwned, requireOwner, owns } from './require-owner.ts';
import { idOf, type Principal, type SessionRef } from './session-ref.ts';
import { pickDetails, type SessionDetails, type SessionSummary } from './session-summary.ts';
import { activeRun, damagedSummary, lifetimeOf } from './summary-parts.ts';
import { removedFromOpenRuns } from './stores/open-runs.ts';
import { RemovedNames } from './stores/removed-names.ts';
import { chatTopic, cursorsTopic, watchTopic } from './topic-names.ts';
import { admitted, UNLIMITED } from './stores/user-limit.ts';
import { UserLimits } from './stores/user-limits.ts';

/** A chat expires this long after its last write, run or live reader, unless the configuration or the request gives
 *  another time. */
export const SESSION_TTL_MS = 30 * 24 * 60 * 60 * 1000;
export const SESSION_TTL_MIN_MS = 60 * 1000;
export const SESSION_TTL_MAX_MS = 365 * 24 * 60 * 60 * 1000;
/** The TTL of a chat that does not expire. It is a time all the same, because the broker derives the time of the last
 *  write from it. */
export const ENDLESS_TTL_MS = TTL_MS_MAX;

/** Reads of one history page whose request named no position. Each but the last found that the epoch had changed. */
const HISTORY_READS_MAX = 2;
/** Tries of one update. Each of them lost against an update by somebody else. */
const UPDATE_ATTEMPTS_MAX = 8;

export interface NewSession extends SessionDetails {
  readonly ttlMs?: number;
  /** False: the chat is in no list of chats. It counts against the limits of its user all the same. */
  readonly isListed?: boolean;
}

export interface SessionList {
  readonly sessions: readonly SessionSummary[];
  /** Where the next page begins; undefined behind the last page. */
  readonly next: PageEnd | undefined;
  /** A record of the list cannot be read any more, so chats may be missing. */
  readonly isDamaged: boolean;
}

export class Sessions {
  readonly #broker: Broker;
  readonly #log: CommandLog;
  readonly #clock: Clock;
  readonly #lifetimeOf: ChatLifetimeOf;
  readonly #limits: UserLimits;
  readonly #names: RemovedNames;
  readonly #attachments: Attachments | undefined;

  /** `limits`, `attachments`: undefined for none. */
  constructor(
    broker: Broker,
    log: CommandLog,
    clock: Clock,
    lifetimeOf = chatLifetimes(SESSION_TTL_MS),
    limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax: 0 }),
    attachments?: Attachments,
  ) {
    this.#broker = broker;
    this.#log = log;
    this.#clock = clock;
    this.#lifetimeOf = lifetimeOf;
    this.#limits = limits;
    this.#names = new RemovedNames(broker);
    this.#attachments = attachments;
  }

  /** @throws SessionError not-found: it does not exist, or somebody else owns it */
  async authorize(principal: Principal, ref: SessionRef): Promise<LoadedState> {
    return loadOwned(this.#log, principal, ref);
  }

  /** Creates the session, or finds that the principal owns it already. `given`: of the session, if this creates it.
   *  @throws SessionError not-found: somebody else owns it; too-many-sessions, too-large */
  async create(
    principal: Principal,
    ref: SessionRef,
    session: NewSession,
    given?: GiveCommand,
  ): Promise<{ created: boolean; position: Position }> {
    const existing = await this.#log.load(ref);
    const isNew = existing === undefined;
    const admission = isNew ? await this.#limits.enterSession(principal, ref, session.isListed) : UNLIMITED;
    return admitted([admission], () => this.#create(principal, ref, session, isNew, given));
  }

  async #create(
    principal: Principal,
    ref: SessionRef,
    { ttlMs: requestedMs, isListed, ...details }: NewSession,
    isNew: boolean,
    given?: GiveCommand,
  ): Promise<{ created: boolean; position: Position }> {
    const createdAt = isoTime(this.#clock);
    const { ttlMs, life } = this.#lifetimeOf(ref, requestedMs);
    return this.#log.transact<{ created: boolean; position: Position }>(
      ref,
      (loaded) => {
        if (loaded !== undefined) {
          const { epoch, at } = requireOwner(principal, loaded);
          return { unchanged: { created: false, position: { epoch, offset: at } } };
        }
        const begins = newCommandState(principal.user, createdAt, ttlMs, isListed);
        const first = [{ event: { type: 'session.created', ...pickDetails(details), createdAt } }] as const;
        const decision = given === undefined ? undefined : decideGive(begins, given, createdAt, first);
        return {
          ...(decision ?? foldDrafts(begins, first)),
          life,
          answer: ({ epoch, first }) => ({ created: true, position: { epoch, offset: first } }),
        };
      },
      { isNew },
    );
  }

  /** Adds messages from elsewhere before the first prompt, which a model receives with every prompt. Returns the index
   *  of the first of them. @throws SessionError not-found, session-not-new, too-large, contended */
  async give(principal: Principal, ref: SessionRef, given: GiveCommand): Promise<number> {
    const createdAt = isoTime(this.#clock);
    return this.#log.transact<number>(ref, (loaded) => {
      const { state } = requireOwner(principal, loaded);
      const decision = decideGive(state, given, createdAt);
      const first = (decision?.after ?? state).messages - given.history.length;
      return decision === undefined ? { unchanged: first } : { ...decision, answer: () => first };
    });
  }

  /** Details that are not given stay as they are. The event holds all details, because a reader reads only the last
   *  event. `ttlMs`: the time of the chat from now on, within the bounds of its policy.
   *  @throws SessionError not-found, contended */
  async update(
    principal: Principal,
    ref: SessionRef,
    { ttlMs: requestedMs, ...details }: Omit<NewSession, 'isListed'>,
  ): Promise<void> {
    for (let attempt = 1; attempt <= UPDATE_ATTEMPTS_MAX; attempt += 1) {
      const seen = await this.authorize(principal, ref);
      const { createdAt } = seen.state;
      const lifetime = requestedMs === undefined ? {} : { ttlMs: await this.#ttlFromNow(ref, requestedMs, createdAt) };
      const merged = { ...(await this.#readDetails(ref, seen)), ...pickDetails(details) };
      const isUpdated = await this.#log.transact<boolean>(ref, (loaded) => {
        const { epoch, state } = requireOwner(principal, loaded);
        if (epoch !== seen.epoch || state.infoAt !== seen.state.infoAt) return { unchanged: false };
        const changed = { ...state, ...lifetime };
        return { ...foldDrafts(changed, [{ event: { type: 'session.updated', ...merged } }]), answer: () => true };
      });
      if (isUpdated) return;
    }
    throw new SessionError('contended');
  }

  /** The time of a chat of the mode `absolute` counts from its creation. */
  async #ttlFromNow(ref: SessionRef, requestedMs: number, createdAt: string): Promise<number> {
    const { ttlMs } = this.#lifetimeOf(ref, requestedMs);
    const [info] = await this.#broker.describe([chatTopic(ref)]);
    const age = info?.ttlMode === 'absolute' ? Math.max(0, this.#clock.now() - Date.parse(createdAt)) : 0;
    return Math.min(ttlMs + age, TTL_MS_MAX);
  }

  /** Removes the session with its requests, its cursors, its attachments, its names in the user's lists and the
   *  subagent sessions of its runs. Streams of it end with `reset{removed}`. A run in progress finds that its log is
   *  gone, and stops.
   *  @throws SessionError not-found; BrokerError epoch-changed, conflict: it is not as in `ifUnchanged`, and stays */
  async remove(principal: Principal, ref: SessionRef, ifUnchanged?: Position): Promise<void> {
    const topic = chatTopic(ref);
    const found = await this.#findOwner(principal, ref);
    // An earlier try may have removed the chat. The refusal must be as durable as that removal, and that try may have
    // ended before it removed the rest.
    if (found === undefined) await this.#broker.describe([topic], { isDurable: true });
    else if (found.isOwn) await this.#removeOwn(ref, found.state, ifUnchanged);
    else throw new SessionError('not-found');
    await this.#broker.remove(cursorsTopic(ref));
    await this.#broker.remove(watchTopic(ref));
    await this.#dropNames(principal, ref);
    if (found === undefined) throw new SessionError('not-found');
    this.#limits.onSessionRemoved(principal);
  }

  async #dropNames(principal: Principal, ref: SessionRef): Promise<void> {
    const now = this.#clock.now();
    await this.#names.drop(removedFromChatList(principal, ref, now));
    await this.#names.drop(removedFromOpenRuns(principal, ref, now));
  }

  /** Undefined if there is no such chat. A damaged chat can be removed like any other. */
  async #findOwner(
    principal: Principal,
    ref: SessionRef,
  ): Promise<{ readonly isOwn: boolean; readonly state: CommandState } | undefined> {
    try {
      const loaded = await this.#log.load(ref);
      return loaded && { isOwn: owns(principal, loaded), state: loaded.state };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const state = (await this.#log.findEarlier(ref))?.state;
      if (state === undefined) throw error;
      return { isOwn: state.owner === principal.user, state };
    }
  }

  async #removeOwn(ref: SessionRef, state: CommandState, ifUnchanged: Position | undefined): Promise<void> {
    // Lists the asks before the chat is removed: later they could belong to a new chat with the same id.
    const asks = await findAsks(this.#broker, ref);
    await endSoon(this.#broker, ref, state, ifUnchanged);
    // Removes the chat before its requests: a run of a chat without its request would never be served.
    await this.#broker.remove(chatTopic(ref), ifUnchanged);
    await expireRequests(this.#broker, ref, state);
    await removeExpiries(this.#broker, ref, state);
    await this.#attachments?.removeAll(ref, state);
    await removeAsks(this.#broker, this.#log, asks, chatTopic);
  }

  /** Of a damaged chat only what is known without its newest state. @throws SessionError not-found; the error of the
   *  damage, if no state of the chat can be read */
  async describe(principal: Principal, ref: SessionRef): Promise<SessionSummary> {
    try {
      return await this.#summarize(ref, await this.#ownSnapshot(principal, ref));
    } catch (error) {
      if (!isDamage(error)) throw error;
      const found = await this.#log.findEarlier(ref);
      if (found?.state === undefined) throw error;
      if (found.state.owner !== principal.user) throw new SessionError('not-found');
      return damagedSummary(ref, found.info, found.state);
    }
  }

  /** A page of the user's chats. `after`: the `next` of the page before, undefined for the first page. A chat that
   *  exists all the time is on exactly one page, also when chats change between the pages. */
  async list(principal: Principal, limit: number, after: PageEnd | undefined): Promise<SessionList> {
    const { listed, isDamaged } = await this.#readList(principal);
    const { chats, next } = pageOfChats(listed, limit, after);
    const summaries = await Promise.all(chats.map(async ({ ref }) => this.#summarizeIfListed(principal, ref)));
    return { sessions: summaries.filter((one) => one !== undefined), next, isDamaged };
  }

  /** A page of the user's chats by age. `after`: the last chat of the page before. */
  async listByAge(
    principal: Principal,
    page: { readonly limit: number; readonly after: string | undefined; readonly order: 'asc' | 'desc' },
  ): Promise<{ readonly sessions: readonly SessionSummary[]; readonly hasMore: boolean }> {
    const { listed } = await this.#readList(principal);
    const { chats, hasMore } = pageByAge(listed, page);
    const summaries = await Promise.all(chats.map(async ({ ref }) => this.#summarizeIfListed(principal, ref)));
    return { sessions: summaries.filter((one) => one !== undefined), hasMore };
  }

  async #readList(
    principal: Principal,
  ): Promise<{ readonly listed: readonly (ListedChat & { readonly ref: SessionRef })[]; readonly isDamaged: boolean }> {
    const { alive, isDamaged } = await readChatList(this.#broker, principal, this.#clock.now());
    const listed = alive.flatMap(({ ref, isUnlisted, ...chat }) =>
      isUnlisted === true ? [] : [{ ...chat, ref, sessionId: idOf(ref) }],
    );
    return { listed, isDamaged };
  }

  /** `before`: the `before` of an earlier page, undefined for the newest page. `branch`: the last run of the branch,
   *  undefined for the shown branch. @throws SessionError not-found, run-not-found */
  async history(
    principal: Principal,
    ref: SessionRef,
    limit: number,
    before: Position | undefined,
    branch?: string,
  ): Promise<HistoryPage & { epoch: string }> {
    for (let read = 1; ; read += 1) {
      try {
        return await this.#readHistory(principal, ref, limit, before, branch);
      } catch (error) {
        // A read that finds damage begins another epoch of the chat. A position is of one epoch, so a request with one
        // is not repeated.
        if (before !== undefined || read >= HISTORY_READS_MAX || !isBrokerError(error, 'epoch-changed')) throw error;
      }
    }
  }

  async #readHistory(
    principal: Principal,
    ref: SessionRef,
    limit: number,
    before: Position | undefined,
    branch?: string,
  ): Promise<HistoryPage & { epoch: string }> {
    const { loaded, log } = await this.#prefixOf(principal, ref);
    const { tip: shown, given } = loaded.state;
    const tip = branch === undefined ? (shown ?? given) : await findBranch(this.#broker, ref, loaded, branch);
    const request = { ...log, tip: tip?.at, before: offsetIn(log, before), declaresLost: true };
    return { ...(await readHistory(this.#broker, request, limit)), epoch: log.epoch };
  }

  /** A page of the runs' timelines. `before` as in `history`. @throws SessionError not-found */
  async runs(
    principal: Principal,
    ref: SessionRef,
    limit: number,
    before: Position | undefined,
  ): Promise<RunPage & { epoch: string }> {
    const { log } = await this.#prefixOf(principal, ref);
    return {
      ...(await readRuns(this.#broker, log, offsetIn(log, before) ?? log.next, limit)),
      epoch: log.epoch,
    };
  }

  /** The agent, the model and the options of the first prompt; undefined in a chat without one.
   *  @throws SessionError not-found */
  async firstRun(principal: Principal, ref: SessionRef): Promise<RunSettings | undefined> {
    return readFirstRun(this.#broker, (await this.#prefixOf(principal, ref)).log);
  }

  /** The first offset of the runs that had not ended before a position: a reader of that position folds them from
   *  there. @throws SessionError not-found; BrokerError epoch-changed */
  async startOfOpenRuns(principal: Principal, ref: SessionRef, at: Position): Promise<number> {
    const { log } = await this.#prefixOf(principal, ref);
    return startOfOpenRuns(this.#broker, log.topic, at);
  }

  /** The chat up to the moment at which its state was read. Later records belong to the stream that the reader opens
   *  next: the shown branch may have changed by then. */
  async #prefixOf(principal: Principal, ref: SessionRef): Promise<{ loaded: LoadedState; log: LogPrefix }> {
    const { info, loaded } = await this.#ownSnapshot(principal, ref);
    return { loaded, log: { topic: chatTopic(ref), epoch: info.epoch, next: info.next } };
  }

  async #ownSnapshot(principal: Principal, ref: SessionRef): Promise<Snapshot> {
    const snapshot = await this.#log.snapshot(ref);
    if (snapshot === undefined || !owns(principal, snapshot.loaded)) throw new SessionError('not-found');
    return snapshot;
  }

  async #summarizeIfListed(principal: Principal, ref: SessionRef): Promise<SessionSummary | undefined> {
    try {
      const summary = await this.describe(principal, ref);
      // A node of version 0.1 may have written the list again, without the marks of unlisted chats.
      return summary.isListed === false ? undefined : summary;
    } catch (error) {
      // One chat of which nothing can be read must not make the whole list fail.
      if (isDamage(error) || isSessionError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async #summarize(ref: SessionRef, { info, loaded }: Snapshot): Promise<SessionSummary> {
    const { epoch, state } = loaded;
    if (info.expiresAt === undefined || info.ttlMs === undefined)
      throw new BrokerError('corrupt', `a chat without an end: ${ref.sessionId}`);
    const active = activeRun(state, epoch);
    return {
      sessionId: idOf(ref),
      ...(await titledByPrompt(this.#broker, { topic: chatTopic(ref), epoch }, await this.#readDetails(ref, loaded))),
      createdAt: state.createdAt,
      ...lifetimeOf(info, state.createdAt),
      position: encodePosition({ epoch, offset: Math.max(0, info.next - 1) }),
      earliest: encodePosition({ epoch, offset: info.earliest }),
      ...(active === undefined ? {} : { activeRun: active }),
      ...(state.isUnlisted === true ? { isListed: false } : {}),
      queued: Math.max(0, state.runs.length - 1),
      messages: state.messages,
    };
  }

  async #readDetails(ref: SessionRef, { epoch, state }: LoadedState): Promise<SessionDetails> {
    if (state.infoAt === null) return {};
    const result = await this.#broker.read(chatTopic(ref), { epoch, offset: state.infoAt }, { maxRecords: 1 });
    const item = result.kind === 'batch' ? result.items[0] : undefined;
    const event = item?.kind === 'record' ? decodeEvent(item.data) : undefined;
    if (event?.type !== 'session.created' && event?.type !== 'session.updated') return {};
    return pickDetails(event);
  }
}

/** Undefined if the position is of another epoch of this chat: the pages then start again with the newest. */
function offsetIn({ epoch, next }: LogPrefix, before: Position | undefined): number | undefined {
  return before?.epoch === epoch && before.offset < next ? before.offset : undefined;
}
