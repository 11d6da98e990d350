// The serialization point of the engine. The appender decides every change of a topic on the topic's pending state,
// adds a frame to the next batch, and makes the change visible once that batch is durable. An answer that depends on
// writes which are not yet durable waits for them, and so does a refusal: a caller that received it earlier would read
// again, find the old state, and retry in a loop.
import {
  answerTo,
  applyWrite,
  checkUnchanged,
  checkWrite,
  isRetry,
  planAppend,
  validateWrites,
  type PlannedWrite,
  type TopicState,
} from '../../append-rules.ts';
import type { Appended, TopicWrite } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { expiryAfter, lifeAfter } from '../../lifetime.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { Accounts } from '../../accounts.ts';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import type { EngineTime } from '../topics/engine-time.ts';
import type { Expiry } from '../topics/expiry.ts';
import type { ConsumedFrame, DeliveredFrame } from '../format/frame-codec.ts';
import {
  AppendEntry,
  OneWriteEntry,
  Settling,
  type Answered,
  type Done,
  type Refused,
  type TopicEvents,
} from './append-entry.ts';
import type { CommitEntry, GroupCommit } from './group-commit.ts';
import { StagedWrite } from './staged-write.ts';
import { setConsumed, setDelivered, type Delivered } from '../topics/group-progress.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { OffsetRange, Tombstone, Topic, TopicVersion } from '../topics/topic.ts';

export interface AppenderParts {
  readonly table: TopicTable;
  readonly commit: GroupCommit;
  readonly reserve: DiskReserve;
  readonly time: EngineTime;
  readonly expiry: Expiry;
  readonly accounts: Pick<Accounts, 'reserve'>;
  readonly newEpoch: () => string;
}

export class Appender {
  readonly #table: TopicTable;
  readonly #commit: GroupCommit;
  readonly #reserve: DiskReserve;
  readonly #time: EngineTime;
  readonly #expiry: Expiry;
  readonly #settling: Settling;
  readonly #accounts: Pick<Accounts, 'reserve'>;
  readonly #besideOf: (name: LiteTopicName) => number;
  readonly #newEpoch: () => string;
  readonly #engine: TopicEvents;

  constructor({ table, commit, reserve, time, expiry, accounts, newEpoch }: AppenderParts, engine: TopicEvents) {
    this.#table = table;
    this.#commit = commit;
    this.#reserve = reserve;
    this.#time = time;
    this.#expiry = expiry;
    this.#settling = new Settling(table, expiry, engine);
    this.#accounts = accounts;
    this.#besideOf = (name) => table.loaded(name)?.pending?.beside ?? 0;
    this.#newEpoch = newEpoch;
    this.#engine = engine;
  }

  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    const share = reserveShare(writes);
    if (share === 'all' || (share === 'half' && this.#reserve.isAboveHalf))
      return this.#reserve.use(() => this.#append(writes), share);
    return this.#reserve.isWhole ? this.#append(writes) : this.#whenHealed(() => this.#append(writes));
  }

  #append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    return new Promise((resolve, reject) => {
      validateWrites(writes);
      this.#commit.check();
      const now = this.#time.now();
      const [write] = writes;
      if (writes.length === 1 && write !== undefined) this.#appendOne(write, writes, now, resolve, reject);
      else this.#appendAll(writes, now, resolve, reject);
    });
  }

  #appendAll(writes: readonly TopicWrite[], now: number, resolve: Answered, reject: Refused): void {
    const topics = new Array<Topic>(writes.length);
    let i = 0;
    try {
      for (const { topic } of writes) topics[i++] = pinned(this.#toWrite(topic, now));
      this.#decide(topics, writes, now, resolve, reject);
    } finally {
      for (const topic of topics) unpin(topic);
    }
  }

  /** Decides the common append by the same rules, without the lists that several writes need. Nothing else is loaded
   *  meanwhile, so the topic is not pinned. A retry, a quota and a new topic take the general path. (hot: ADR 7 §12) */
  #appendOne(write: TopicWrite, writes: readonly TopicWrite[], now: number, resolve: Answered, reject: Refused): void {
    const topic = this.#toWrite(write.topic, now);
    const { state } = topic;
    if (state === undefined || write.quota !== undefined || isRetry(state, write)) {
      this.#decide([topic], writes, now, resolve, reject);
      return;
    }
    try {
      checkWrite(topic, write);
    } catch (error) {
      this.#refuseAfterPending([topic], error, reject);
      return;
    }
    const answers = new Array<Appended>(1);
    const after = applyWrite(state, write, answers);
    answers[0] = answerTo(state, after);
    const version = this.#versionAfter(topic, write, false, after, now);
    const entry = new OneWriteEntry(topic, write, state.next, version, this.#settling, answers, resolve, reject);
    this.#commit.addOneWrite(entry);
    topic.expect(version, state.next, entry.records);
  }

  #decide(
    topics: readonly Topic[],
    writes: readonly TopicWrite[],
    now: number,
    resolve: Answered,
    reject: Refused,
  ): void {
    try {
      const plan = planAppend(writes, topics, this.#newEpoch);
      if (plan.kind === 'duplicate') this.#afterPending(topics, { then: () => resolve(plan.answers), failed: reject });
      else {
        const release = this.#accounts.reserve(plan.writes, this.#besideOf, now);
        const staged = this.#stage(topics, plan.writes, now);
        const entry = new AppendEntry(this.#settling, staged, { answers: plan.answers, resolve, reject }, release);
        this.#commit.add({ kind: 'append', writes: staged }, entry);
        for (const { held, version, first, records } of staged) held.expect(version, first, records);
      }
    } catch (error) {
      this.#refuseAfterPending(topics, error, reject);
    }
  }

  #refuseAfterPending(topics: readonly Topic[], error: unknown, reject: Refused): void {
    if (!(error instanceof BrokerError)) throw error;
    this.#afterPending(topics, { then: () => reject(error), failed: reject });
  }

  /** Ends the topic's pending epoch. Resolves to false if there is none, or if the topic is not due for expiry after
   *  all. Takes the name and not the object: each try finds the topic in the turn in which it adds the frame. An
   *  object that a caller has held for longer may have left memory, and then another object represents the same
   *  epoch. */
  end(name: LiteTopicName, reason: 'expired' | 'removed', ifUnchanged?: Position): Promise<boolean> {
    return this.#reserve.use(() => this.#end(name, reason, ifUnchanged));
  }

  #end(name: LiteTopicName, reason: 'expired' | 'removed', ifUnchanged?: Position): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#commit.check();
      const topic = this.#table.find(name);
      const version = topic?.pending;
      if (topic === undefined) resolve(false);
      else if (version === undefined || (reason === 'expired' && !this.#expiry.isDue(topic, this.#time.now()))) {
        this.#afterPending([topic], { then: () => resolve(false), failed: reject });
      } else {
        try {
          checkUnchanged(version.state, ifUnchanged);
        } catch (error) {
          this.#refuseAfterPending([topic], error, reject);
          return;
        }
        this.#enqueueEnd(topic, version, reason, { resolve: () => resolve(true), reject });
      }
    });
  }

  /** Takes the name and not the object, for the reason given at `end`. */
  consumed(name: LiteTopicName, group: string, epoch: string, next: number): Promise<void> {
    return this.#reserve.use(() =>
      this.#noteProgress(name, epoch, (topic, base) => ({
        frame: { kind: 'consumed', group, topic: name, epoch: base, next },
        apply: () => setConsumed(topic, group, next),
      })),
    );
  }

  /** Notes how often the group was handed a record that it has not consumed. The frame comes before that of every
   *  later append, and nothing waits for it. On a full device nothing is noted, because each request that cannot begin
   *  would take some of the reserve every second, and removals need the reserve. Takes the name and not the object,
   *  for the reason given at `end`. */
  delivered(name: LiteTopicName, group: string, epoch: string, delivered: Delivered): Promise<void> {
    if (!this.#reserve.isWhole) return Promise.resolve();
    return this.#noteProgress(name, epoch, (topic, base) => ({
      frame: { kind: 'delivered', group, topic: name, epoch: base, ...delivered },
      apply: () => setDelivered(topic, group, delivered),
    }));
  }

  /** No effect if the topic is in another epoch. */
  #noteProgress(
    name: LiteTopicName,
    epoch: string,
    noteFor: (topic: Topic, base: string) => { frame: ConsumedFrame | DeliveredFrame; apply: () => void },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commit.check();
      const topic = this.#table.find(name);
      const version = topic?.pending;
      if (topic === undefined || version?.state.epoch !== epoch) {
        resolve();
        return;
      }
      topic.waiting += 1;
      const { frame, apply } = noteFor(topic, version.base);
      this.#commit.add(
        frame,
        this.#entry([topic], { resolve, reject }, () => {
          if (topic.visible?.base === version.base) apply();
        }),
      );
    });
  }

  /** Declares that these records are lost, unless they were superseded or declared before, or the topic is in another
   *  epoch. Takes the name and not the object, for the reason given at `end`. */
  declareLost(name: LiteTopicName, base: string, ranges: readonly OffsetRange[]): Promise<void> {
    return this.#reserve.use(() => this.#declareLost(name, base, ranges));
  }

  #declareLost(name: LiteTopicName, base: string, ranges: readonly OffsetRange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commit.check();
      const topic = this.#table.find(name);
      const version = topic?.pending;
      const live = version?.base === base && topic?.visible?.base === base ? topic.liveIn(ranges) : [];
      if (topic === undefined || version === undefined || live.length === 0) {
        if (topic === undefined) resolve();
        else this.#afterPending([topic], { then: resolve, failed: reject });
        return;
      }
      const damaged = this.#table.damaged(version);
      topic.expectDamage(damaged);
      this.#commit.add(
        { kind: 'damaged', topic: name, epoch: base, ranges: live },
        this.#entry([topic], { resolve, reject }, () => {
          topic.lose(damaged, live);
          this.#engine.declaredLost(topic);
        }),
      );
    });
  }

  saveGroup(group: string, pattern: string): Promise<void> {
    return this.#reserve.isWhole
      ? this.#saveGroup(group, pattern)
      : this.#whenHealed(() => this.#saveGroup(group, pattern));
  }

  /** The device was full: until the reserve is whole again, only writes that may use the reserve get room. */
  async #whenHealed<T>(attempt: () => Promise<T>): Promise<T> {
    this.#commit.check();
    if (!(await this.#reserve.heal())) throw new BrokerError('disk-full', 'no room on the device');
    return attempt();
  }

  #saveGroup(group: string, pattern: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#commit.check();
      const committed = (): void => {
        // Not in a `then` of the promise: a checkpoint may be captured in between.
        this.#engine.groupSaved(group, pattern);
        resolve();
      };
      this.#commit.add({ kind: 'group', group, pattern }, { committed, failed: reject });
    });
  }

  /** Ends the topic first if it is due. */
  #toWrite(name: LiteTopicName, now: number): Topic {
    const topic = this.#table.get(name);
    if (topic.pending !== undefined && this.#expiry.isDue(topic, now)) {
      this.#enqueueEnd(topic, topic.pending, 'expired', { resolve: () => undefined, reject: () => undefined });
    }
    return topic;
  }

  #stage(topics: readonly Topic[], planned: readonly PlannedWrite[], now: number): readonly StagedWrite[] {
    const staged = new Array<StagedWrite>(planned.length);
    for (let i = 0; i < planned.length; i++) {
      const [held, one] = [topics[i], planned[i]];
      if (held === undefined || one === undefined) continue;
      const { write, created, state, appended } = one;
      const version = this.#versionAfter(held, write, created, state, now);
      staged[i] = new StagedWrite(held, write, created, appended.first, version);
    }
    return staged;
  }

  #versionAfter(topic: Topic, write: TopicWrite, created: boolean, state: TopicState, now: number): TopicVersion {
    const before = created ? undefined : topic.pending;
    const ttlMs = write.ttlMs ?? before?.ttlMs;
    const life = lifeAfter(before?.life, write, created, now);
    return {
      state,
      base: before?.base ?? state.epoch,
      era: before?.era ?? this.#table.era,
      damages: before?.damages ?? 0,
      ttlMs,
      expiresAt: expiryAfter(life, ttlMs, now),
      life,
      priority: write.priority ?? before?.priority ?? 'normal',
      notBefore:
        write.delayMs === undefined ? before?.notBefore : Math.max(before?.notBefore ?? 0, now + write.delayMs),
      beside: write.besideBytes ?? before?.beside ?? 0,
    };
  }

  #enqueueEnd(topic: Topic, version: TopicVersion, reason: 'expired' | 'removed', done: Done): void {
    const { state } = version;
    const tombstone: Tombstone = { reason, epoch: state.epoch, next: state.next, at: this.#time.now() };
    topic.expectEnd();
    const frame = { kind: 'ended', topic: topic.name, epoch: version.base, reason, at: tombstone.at } as const;
    this.#commit.add(
      frame,
      this.#entry([topic], done, () => {
        this.#table.endedEpochs.push(topic.end(tombstone));
        this.#engine.ended(topic, tombstone);
      }),
    );
  }

  #entry(topics: readonly Topic[], done: Done, apply: () => void): CommitEntry {
    return {
      committed: () => {
        apply();
        for (const topic of topics) this.#settling.settle(topic);
        done.resolve();
      },
      failed: (error) => {
        for (const topic of topics) this.#settling.refuse(topic);
        done.reject(error);
      },
    };
  }

  #afterPending(topics: readonly Topic[], answer: { then(): void; failed(error: BrokerError): void }): void {
    if (topics.every((topic) => topic.waiting === 0)) answer.then();
    else this.#commit.follow({ committed: () => answer.then(), failed: (error) => answer.failed(error) });
  }
}

function reserveShare(writes: readonly TopicWrite[]): 'none' | 'half' | 'all' {
  let share: 'none' | 'half' = 'none';
  for (const { mayUseReserve } of writes) {
    if (mayUseReserve === true) return 'all';
    if (mayUseReserve === 'half') share = 'half';
  }
  return share;
}

/** The topic stays in memory until the append is decided. */
function pinned(topic: Topic): Topic {
  topic.pins += 1;
  return topic;
}

/** `topic` is undefined where an earlier topic of the append could not be loaded. */
function unpin(topic: Topic | undefined): void {
  if (topic !== undefined) topic.pins -= 1;
}
