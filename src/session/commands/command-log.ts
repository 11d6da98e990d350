// Executes a command on a chat: reads the command state, decides, and appends on the condition that no major record
// came in between. On a conflict it reads again. So every transition is linearizable across nodes, without a lock.
//
// Owns a bounded cache of command states. A stale entry costs one conflict and never a wrong decision, because the
// condition names the position of the state. Decisions are in decisions.ts.
import { setImmediate } from 'node:timers/promises';
import { OneByOne } from '../../base/one-by-one.ts';
import type { Appended, Broker, NewRecord, TopicInfo, TopicWrite } from '../../broker/broker.ts';
import { BrokerError, isBrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Quota } from '../../broker/quota.ts';
import {
  decodeHidden,
  encodeEvent,
  isTerminal,
  withHidden,
  type JsonObject,
  type RunTally,
  type RunTerminal,
} from '../events/chat-event.ts';
import {
  decodeCheckpoint,
  encodeCheckpoint,
  findRun,
  RECENT_MESSAGES_MAX,
  resolveOffsets,
  type Checkpoint,
  type CommandState,
  type RunInfo,
} from './command-state.ts';
import { cancelledWaits, type Decision, type Draft } from './decisions.ts';
import { isCharged, isRelief } from './draft-kinds.ts';
import { addedSince, RECENT_ADDED_MAX, withAdded, type RecentBase } from './recent-messages.ts';
import { SessionError } from '../errors.ts';
import { topicTtl } from './chat-ttl.ts';
import { isLost, lossDrafts, readEarlierState, readStateBefore } from './earlier-state.ts';
import { encodeRunRequest } from './run-request.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic, requestTopic, waitExpiryTopic } from '../topic-names.ts';

/** Command states kept per node; each is a few kilobytes at most. */
export const COMMAND_CACHE_MAX = 4096;
/** Tries of one command before `contended`. Commands of one node on one chat run one after another, so only other nodes
 *  conflict. Each of n nodes wins a fair try with a chance of 1/n. */
export const COMMAND_ATTEMPTS_MAX = 64;
/** Tries of one snapshot. Each of them found that the chat had changed between the description of its topic and the
 *  read. */
const SNAPSHOT_ATTEMPTS_MAX = 16;
/** The most turns of the event loop that a node waits in a race, so that the same order of arrival does not repeat. */
const STAND_BACK_MAX = 4;

export interface LoadedState {
  readonly epoch: string;
  readonly state: CommandState;
  /** Offset of the last major record, which carries the state unless that record is lost. */
  readonly at: number;
  /** The checkpoint that held all recent messages last; undefined if it is lost. */
  readonly recentBase: RecentBase | undefined;
}

/** A chat at one moment. */
export interface Snapshot {
  readonly info: TopicInfo;
  readonly loaded: LoadedState;
}

/** The quota of the account of a chat's topic; undefined for none. */
export type QuotaOf = (chat: LiteTopicName) => Quota | undefined;

/** How a worker's append is fenced; sessions append without. */
export type Fencing = { readonly fence: number; readonly seq: number } | 'take';

/** What a command appends, and its answer once that is durable. */
export interface Change<T> extends Decision {
  readonly fencing?: Fencing;
  readonly supersedes?: TopicWrite['supersedes'];
  /** Writes to other topics of the session, in the same append. */
  readonly beside?: readonly TopicWrite[];
  /** For a change that makes the chat. */
  readonly life?: Pick<TopicWrite, 'ttlMode' | 'hardMaxMs'>;
  readonly answer: (committed: Committed) => T;
}

/** The answer of a command that appends nothing. */
export interface NoChange<T> {
  readonly unchanged: T;
}

export type Transition<T> = Change<T> | NoChange<T>;

/** Decides one command. `loaded`: undefined if there is no such session. It may run several times, and may throw a
 *  refusal. */
export type Decide<T> = (loaded: LoadedState | undefined) => Transition<T>;

export interface Committed {
  readonly epoch: string;
  /** Offset of the first draft. */
  readonly first: number;
  readonly state: CommandState;
}

/** A run whose end was appended just now, with its state before. */
export interface EndedRun {
  readonly ref: SessionRef;
  readonly run: RunInfo;
  readonly terminal: RunTerminal;
}

/** A run whose chat was removed or expired while a worker had the run. No event records its end. */
export interface GoneRun extends Pick<EndedRun, 'ref' | 'run'> {
  readonly tally: RunTally;
}

export class CommandLog {
  readonly #broker: Broker;
  readonly #cache = new Map<LiteTopicName, LoadedState>();
  /** The commands of this node on each chat. */
  readonly #commands = new OneByOne<LiteTopicName>();
  readonly #random: () => number;
  readonly #onRunEnded: (ended: EndedRun) => void;
  readonly #quotaOf: QuotaOf;
  readonly #addedMax: number;

  /** `random`: from 0 to 1, for fairness between nodes only. `onRunEnded` is notified of each run whose end this node
   *  appended, and of none whose answer was lost. `quotaOf`: what the tenant of a chat may hold. */
  constructor(
    broker: Broker,
    random: () => number,
    onRunEnded: (ended: EndedRun) => void = () => undefined,
    quotaOf: QuotaOf = () => undefined,
    addedMax = RECENT_ADDED_MAX,
  ) {
    this.#broker = broker;
    this.#quotaOf = quotaOf;
    this.#addedMax = addedMax;
    this.#random = random;
    this.#onRunEnded = onRunEnded;
  }

  /** The current state, or undefined if there is no such session. @throws SessionError contended */
  async load(ref: SessionRef): Promise<LoadedState | undefined> {
    return (await this.snapshot(ref))?.loaded;
  }

  /** The current state, and the description of the topic at that moment. @throws SessionError contended */
  async snapshot(ref: SessionRef): Promise<Snapshot | undefined> {
    return this.#snapshot(chatTopic(ref));
  }

  /** An earlier state of a chat whose newest state is damaged or lost. `state` is undefined if none can be read. */
  async findEarlier(
    ref: SessionRef,
  ): Promise<{ readonly info: TopicInfo; readonly state: CommandState | undefined } | undefined> {
    const [info] = await this.#broker.describe([chatTopic(ref)]);
    return info && { info, state: await readEarlierState(this.#broker, info) };
  }

  /** The state at that moment, or a newer one. Reads nothing if the cache holds it. @throws SessionError contended */
  async loadAs(topic: LiteTopicName, info: TopicInfo): Promise<LoadedState | undefined> {
    return (await this.#stateAs(topic, info)) ?? (await this.#snapshot(topic))?.loaded;
  }

  /**
   * Decides and appends, again after each conflict. Returns the answer of the decision that held.
   * `isNew`: the caller has just loaded the session and found none, so the first attempt does not read that again.
   * @throws SessionError contended, and what `decide` throws; BrokerError
   */
  async transact<T>(ref: SessionRef, decide: Decide<T>, { isNew = false } = {}): Promise<T> {
    const topic = chatTopic(ref);
    return this.#commands.run(topic, async (isFirst) => {
      for (let attempt = 1; attempt <= COMMAND_ATTEMPTS_MAX; attempt += 1) {
        const isCached = attempt === 1 && isFirst && (isNew || this.#cache.has(topic));
        const loaded = isCached ? this.#cache.get(topic) : await this.#reload(topic);
        const held = await this.#attempt(ref, loaded, decide);
        if (held !== 'conflict') return held.answer;
        this.#cache.delete(topic);
      }
      throw new SessionError('contended');
    });
  }

  /** A single command starts from the cached state. If that is stale, the append conflicts and the next attempt reads.
   *  When commands are queued on this node it reads even so: otherwise this node would append without reading, beat
   *  every other node's read and append, and starve them. */
  async #reload(topic: LiteTopicName): Promise<LoadedState | undefined> {
    for (let turns = Math.floor(this.#random() * STAND_BACK_MAX); turns > 0; turns -= 1) await setImmediate();
    return (await this.#snapshot(topic))?.loaded;
  }

  /** A refusal and a decision to append nothing also depend on the state, and a cached state may be stale: it lacks a
   *  run that another node has just queued. So both hold only if the state is current. */
  async #attempt<T>(
    ref: SessionRef,
    loaded: LoadedState | undefined,
    decide: Decide<T>,
  ): Promise<{ readonly answer: T } | 'conflict'> {
    let transition: Transition<T>;
    try {
      transition = decide(loaded);
    } catch (error) {
      if (await this.#isCurrent(chatTopic(ref), loaded)) throw error;
      return 'conflict';
    }
    if ('unchanged' in transition)
      return (await this.#isCurrent(chatTopic(ref), loaded)) ? { answer: transition.unchanged } : 'conflict';
    const committed = await this.#commit(ref, loaded, transition);
    return committed === undefined ? 'conflict' : { answer: transition.answer(committed) };
  }

  /** Undefined where the condition failed. */
  async #commit(
    ref: SessionRef,
    loaded: LoadedState | undefined,
    change: Change<unknown>,
  ): Promise<Committed | undefined> {
    const topic = chatTopic(ref);
    const { drafts, after } = change;
    const added = addedSince(loaded?.recentBase, after.recent, this.#addedMax);
    const recentBase = added && loaded?.recentBase;
    const quota = isCharged(drafts) ? this.#quotaOf(topic) : undefined;
    const checkpoint = encodeCheckpoint(after, recentBase?.at, added);
    const write = { ...chatWrite(topic, loaded, change, checkpoint), ...(quota === undefined ? {} : { quota }) };
    const { beside = [] } = change;
    const appended = await this.#append([write, ...requestWrites(ref, loaded?.state, after), ...beside]);
    if (appended === undefined) return undefined;
    const at = appended.first + drafts.length - 1;
    const state = resolveOffsets(after, at);
    this.#remember(topic, { epoch: appended.epoch, state, at, recentBase: recentBase ?? { at, recent: state.recent } });
    if (loaded !== undefined) {
      this.#notifyEnds(ref, loaded.state, drafts);
      for (const run of cancelledWaits(loaded.state, drafts)) await this.#dropExpiry(ref, run);
    }
    return { epoch: appended.epoch, first: appended.first, state };
  }

  #notifyEnds(ref: SessionRef, before: CommandState, drafts: readonly Draft[]): void {
    for (const { event } of drafts) {
      const run = isTerminal(event) ? findRun(before, event.runId) : undefined;
      if (run !== undefined && isTerminal(event)) this.#onRunEnded({ ref, run, terminal: event });
    }
  }

  /** The command is done, and a record that stays ends by itself at its time. */
  async #dropExpiry(ref: SessionRef, { runId, leg = 0 }: RunInfo): Promise<void> {
    try {
      await this.#broker.remove(waitExpiryTopic(ref, runId, leg));
    } catch (error) {
      if (!isBrokerError(error)) throw error;
    }
  }

  /** Undefined if the condition failed. */
  async #append(writes: readonly TopicWrite[]): Promise<Appended | undefined> {
    try {
      const [appended] = await this.#broker.append(writes);
      return appended;
    } catch (error) {
      if (isBrokerError(error, 'conflict') || isBrokerError(error, 'epoch-changed')) return undefined;
      throw error;
    }
  }

  /** The check is as durable as an append: otherwise a retry could be answered with a write that a crash takes back. */
  async #isCurrent(topic: LiteTopicName, loaded: LoadedState | undefined): Promise<boolean> {
    const [info] = await this.#broker.describe([topic], { isDurable: true });
    return info?.epoch === loaded?.epoch && info?.lastMajor === loaded?.at;
  }

  async #snapshot(topic: LiteTopicName): Promise<Snapshot | undefined> {
    for (let attempt = 1; attempt <= SNAPSHOT_ATTEMPTS_MAX; attempt += 1) {
      const [info] = await this.#broker.describe([topic]);
      if (info === undefined || info.lastMajor < 0) {
        this.#cache.delete(topic);
        return undefined;
      }
      const loaded = await this.#stateAs(topic, info);
      if (loaded !== undefined) return { info, loaded };
    }
    throw new SessionError('contended');
  }

  /** Undefined if the topic is in another epoch by now, or was removed. The chat may exist in another epoch. */
  async #stateAs(topic: LiteTopicName, { epoch, lastMajor: at }: TopicInfo): Promise<LoadedState | undefined> {
    const cached = this.#cache.get(topic);
    if (cached?.epoch === epoch && cached.at === at) return cached;
    const checkpoint = await this.#readCheckpoint(topic, epoch, at);
    if (checkpoint === undefined) return undefined;
    if (checkpoint === 'lost') return this.#rebuild(topic, epoch, at);
    const { state, recentAt = at } = checkpoint;
    const carrier = recentAt === at ? checkpoint : await this.#readCheckpoint(topic, epoch, recentAt);
    if (carrier === undefined) return undefined;
    // Without the recent messages a retry of one of them is a new message.
    const held = carrier === 'lost' ? undefined : carrier.state.recent;
    const recent = recentAt === at ? state.recent : withAdded(held ?? [], state.recent, RECENT_MESSAGES_MAX);
    const recentBase = held && { at: recentAt, recent: held };
    const loaded = { epoch, state: { ...state, recent }, at, recentBase };
    this.#remember(topic, loaded);
    return loaded;
  }

  /** The record with the newest state is lost: an earlier state holds, without what was decided since. Its runs may
   *  have ended since, so they are ended: no worker would. Undefined: read again. @throws SessionError chat-damaged */
  async #rebuild(topic: LiteTopicName, epoch: string, at: number): Promise<LoadedState | undefined> {
    const state = await readStateBefore(this.#broker, { topic, epoch, at });
    if (state === 'epoch-changed') return undefined;
    if (state === undefined) throw new SessionError('chat-damaged');
    const loaded: LoadedState = { epoch, state, at, recentBase: undefined };
    if (state.runs.length === 0) {
      this.#remember(topic, loaded);
      return loaded;
    }
    const lost = lossDrafts(state);
    await this.#append([chatWrite(topic, loaded, lost, encodeCheckpoint(lost.after))]);
    return undefined;
  }

  /** Undefined if the topic is not in that epoch any more. @throws BrokerError corrupt */
  async #readCheckpoint(topic: LiteTopicName, epoch: string, offset: number): Promise<Checkpoint | 'lost' | undefined> {
    const result = await this.#broker.read(topic, { epoch, offset }, { direction: 'backward', maxRecords: 1 });
    if (result.kind !== 'batch') return undefined;
    const [item] = result.items;
    if (isLost(item)) return 'lost';
    const checkpoint = item?.kind === 'record' ? decodeCheckpoint(decodeHidden(item.data), offset) : undefined;
    if (checkpoint === undefined) throw new BrokerError('corrupt', `no state is kept at ${offset} of ${topic}`);
    return checkpoint;
  }

  #remember(topic: LiteTopicName, loaded: LoadedState): void {
    this.#cache.delete(topic);
    this.#cache.set(topic, loaded);
    if (this.#cache.size <= COMMAND_CACHE_MAX) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      break;
    }
  }
}

function chatWrite(
  topic: LiteTopicName,
  loaded: LoadedState | undefined,
  { drafts, after, supersedes, life, ...change }: Omit<Change<unknown>, 'answer'>,
  checkpoint: JsonObject,
): TopicWrite {
  const fencing = change.fencing ?? (endsWait(loaded?.state, drafts) ? 'take' : undefined);
  return {
    topic,
    records: encodeDrafts(drafts, checkpoint),
    ...(loaded === undefined
      ? { expect: { absent: true } }
      : { expect: { epoch: loaded.epoch }, ifUnchanged: { epoch: loaded.epoch, offset: loaded.at } }),
    ...(fencing === undefined ? {} : fencing === 'take' ? { takeFence: true } : { fence: fencing }),
    ...(supersedes === undefined || supersedes.length === 0 ? {} : { supersedes }),
    ttlMs: topicTtl(after),
    ...life,
    ...(after.attached?.bytes === loaded?.state.attached?.bytes ? {} : { besideBytes: after.attached?.bytes ?? 0 }),
    ...(isRelief(drafts) ? { mayUseReserve: true } : {}),
  };
}

/** Whether a run ends that waits, or has waited and was not resumed. No worker holds it, so the append takes the fence:
 *  the log then refuses what its last worker may still append. */
function endsWait(before: CommandState | undefined, drafts: readonly Draft[]): boolean {
  return drafts.some(
    ({ event }) => isTerminal(event) && before !== undefined && isBetweenLegs(findRun(before, event.runId)),
  );
}

function isBetweenLegs(run: RunInfo | undefined): boolean {
  return run?.state === 'waiting' || (run?.state === 'queued' && run.startedAt !== null);
}

/** The last draft carries the checkpoint, so `lastMajor` of the topic is its offset. */
function encodeDrafts(drafts: readonly Draft[], checkpoint: JsonObject): NewRecord[] {
  return drafts.map(({ event, record = encodeEvent(event), hidden }, i) => {
    const last = i === drafts.length - 1;
    return hidden === undefined && !last ? record : withHidden(record, { ...hidden, ...(last ? checkpoint : {}) });
  });
}

/** Only the run at the head has a request. It is appended when a run becomes the head, and when the head is queued
 *  again after a wait. An unserved request has the TTL of its chat; the worker that consumes it shortens the TTL of
 *  its topic. */
function requestWrites(ref: SessionRef, before: CommandState | undefined, after: CommandState): TopicWrite[] {
  const [head] = after.runs;
  const earlier = before?.runs[0];
  if (head === undefined) return [];
  if (head.runId === earlier?.runId && !(earlier.state === 'waiting' && head.state === 'queued')) return [];
  return [
    {
      topic: requestTopic(head.agent, ref),
      records: [{ major: true, data: encodeRunRequest({ ...ref, runId: head.runId }) }],
      expect: { create: true },
      priority: head.priority,
      ttlMs: topicTtl(after),
    },
  ];
}
