// The embedded durable engine: one commit log for all topics, an index that checkpoints write, and hot tails in memory.
// `LogEngine` answers the broker's calls and connects the engine's parts: a part that has to notify another part calls
// a method of this class. It decides nothing about a write: appender.ts decides what a write means, group-commit.ts
// when it is durable, and open.ts how a data folder is opened.
import type { Clock } from '../../base/clock.ts';
import type {
  Appended,
  BrokerEngine,
  ConsumeOptions,
  Delivery,
  FlowOf,
  ReadFrom,
  ReadOptions,
  ReadResult,
  Tail,
  TailOptions,
  TopicInfo,
  TopicPage,
  TopicWrite,
  WaitingCounts,
} from '../broker.ts';
import type { BrokerHealth, CheckedPage, DamagedTopic, LostPart } from '../health.ts';
import { BrokerError, isBrokerError } from '../errors.ts';
import type { FlowPolicyOf, Paused, QueuePlace } from '../flow-policy.ts';
import { GroupConsumption } from '../group/group-consumption.ts';
import { parseTopicPattern, type LiteTopicName, type TopicPattern } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import type { Accounts } from '../accounts.ts';
import { WakeList } from '../tail/wake-list.ts';
import { BlobFiles } from './blobs/blob-files.ts';
import { CheckpointSchedule, type CheckpointWork } from './checkpoint/checkpoint-schedule.ts';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { describeDurability, type ProcessRun } from './checkpoint/process-run.ts';
import type { TopicEvents } from './commit/append-entry.ts';
import { Appender } from './commit/appender.ts';
import { GroupCommit, type BatchEvents, type FsyncMode } from './commit/group-commit.ts';
import type { DiskReserve } from './disk/disk-reserve.ts';
import { isCode, type LogFiles } from './disk/log-files.ts';
import { runEvery } from './disk/run-every.ts';
import type { LogWriter } from './disk/log-writer.ts';
import type { Segments } from './disk/segments.ts';
import type { LogLimits } from './limits.ts';
import { LogQueueStore } from './log-queue-store.ts';
import { ColdReads } from './read/cold-reads.ts';
import type { DamageAccount } from './topics/damage-account.ts';
import { checkIndex } from './read/index-check.ts';
import { Quarantine } from './read/quarantine.ts';
import { RecordCheck } from './read/record-check.ts';
import { RecentLog } from './read/recent-log.ts';
import { TopicReads } from './read/topic-reads.ts';
import { Reclaim, type ReclaimEvents } from './reclaim/reclaim.ts';
import type { EngineTime, TimeEvents } from './topics/engine-time.ts';
import { Expiry, type ExpiryRules } from './topics/expiry.ts';
import type { TopicIndex } from './topics/topic-index.ts';
import { TopicLister } from './topics/topic-lister.ts';
import type { TopicTable } from './topics/topic-table.ts';
import { infoOf, type Tombstone, type Topic } from './topics/topic.ts';

/** An opened data folder: everything that the engine takes over from `open.ts`. */
export interface LogStorage {
  readonly fsync: FsyncMode;
  readonly clock: Clock;
  readonly newEpoch: () => string;
  readonly flowOf: FlowOf;
  readonly policyOf: FlowPolicyOf;
  readonly onFatal: (error: Error) => void;
  readonly onWarning: (text: string) => void;
  readonly limits: LogLimits;
  readonly files: LogFiles;
  readonly folder: string;
  readonly index: TopicIndex;
  readonly segments: Segments;
  readonly table: TopicTable;
  readonly checkpoint: Checkpoint;
  readonly writer: LogWriter;
  readonly reserve: DiskReserve;
  readonly damage: DamageAccount;
  readonly accounts: Accounts;
  readonly time: EngineTime;
  readonly run: ProcessRun;
  readonly groups: Map<string, TopicPattern>;
  /** Closes the files and gives the folder's lock back. */
  readonly release: () => Promise<void>;
}

/** `health` looks for room on a full device at most this often. */
const ROOM_CHECK_MS = 1_000;

export class LogEngine
  implements BrokerEngine, TopicEvents, BatchEvents, ExpiryRules, CheckpointWork, ReclaimEvents, TimeEvents
{
  readonly blobs: BlobFiles;
  readonly #storage: LogStorage;
  readonly #wakes = new WakeList();
  readonly #commit: GroupCommit;
  readonly #expiry: Expiry;
  readonly #appender: Appender;
  readonly #schedule: CheckpointSchedule;
  readonly #reclaim: Reclaim;
  readonly #lister: TopicLister;
  readonly #groups: GroupConsumption;
  readonly #damage: DamageAccount;
  readonly #reads: TopicReads;
  readonly #check: RecordCheck;
  #roomCheckedAt = -Infinity;
  #hasFailed = false;
  #closed: Promise<void> | undefined;

  constructor(storage: LogStorage) {
    const { clock, newEpoch, fsync, limits, index, segments, table, writer, reserve, time, groups } = storage;
    const { flowOf, policyOf, accounts } = storage;
    const recent = new RecentLog(limits.recentBytes);
    this.#storage = storage;
    this.blobs = new BlobFiles(storage.files, storage.folder, {
      mustBeOpen: () => this.#mustBeOpen(),
      isFull: () => this.health().state === 'full',
    });
    this.#commit = new GroupCommit({ writer, clock, time, index, recent }, { fsync, limits }, this);
    const commit = this.#commit;
    this.#expiry = new Expiry(clock, time, { table, index, limits }, this);
    const expiry = this.#expiry;
    this.#appender = new Appender({ table, commit, reserve, time, expiry, accounts, newEpoch }, this);
    this.#schedule = new CheckpointSchedule({ clock, limits, table, commit }, this);
    this.#reclaim = new Reclaim({ ...storage, commit }, this);
    this.#lister = new TopicLister(table, index, clock, limits);
    const [appender, lister] = [this.#appender, this.#lister];
    const queueStore = new LogQueueStore({ table, groups, expiry, time, appender, lister }, this);
    this.#groups = new GroupConsumption(queueStore, { clock, flowOf, policyOf, broker: this }, groups);
    this.#damage = storage.damage;
    const cold = new ColdReads(segments, limits.coldReadsMax);
    const quarantine = new Quarantine(this.#damage, (topic, base, ranges) =>
      this.#appender.declareLost(topic, base, ranges),
    );
    this.#reads = new TopicReads({ table, recent, cold, quarantine, time, expiry });
    this.#check = new RecordCheck({
      ...{ table, index, lister, cold, damage: this.#damage },
      mustBeOpen: () => this.#mustBeOpen(),
    });
  }

  /** Begins to watch the clock, ends the topics that expired while no process ran, and gives room back. */
  start(): void {
    this.#storage.time.watch(this);
    this.#expiry.sweep();
    this.#reclaim.afterCheckpoint(this.#storage.writer.position.segment);
  }

  // The calls of the broker

  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    if (this.#closed !== undefined) return Promise.reject(closed());
    return this.#appender.append(writes);
  }

  async read(name: LiteTopicName, from: ReadFrom, options: ReadOptions = {}): Promise<ReadResult> {
    this.#mustBeOpen();
    const { table } = this.#storage;
    if (this.#isDue(table.find(name))) await this.expire({ name });
    return this.#reads.read(table.find(name), from, options);
  }

  tail(name: LiteTopicName, from: Position, options: TailOptions): Tail {
    return this.#reads.tail(name, from, options);
  }

  async describe(names: readonly LiteTopicName[]): Promise<readonly (TopicInfo | undefined)[]> {
    this.#mustBeOpen();
    const { table } = this.#storage;
    for (;;) {
      const topics = names.map((name) => table.find(name));
      const due = names.filter((_, i) => this.#isDue(topics[i]));
      if (due.length === 0) return topics.map((topic) => topic && infoOf(topic));
      // Afterwards all topics are looked up again: any of them may leave memory meanwhile, and its object is stale
      // then.
      await Promise.all(due.map((name) => this.expire({ name })));
    }
  }

  async remove(name: LiteTopicName, ifUnchanged?: Position): Promise<boolean> {
    this.#mustBeOpen();
    const topic = this.#storage.table.find(name);
    if (topic === undefined) return false;
    if (!this.#isDue(topic)) return this.#appender.end(name, 'removed', ifUnchanged);
    await this.expire({ name });
    return false;
  }

  async list(pattern: TopicPattern, page: Parameters<BrokerEngine['list']>[1]): Promise<TopicPage> {
    this.#mustBeOpen();
    return this.#lister.page(pattern, page, (topic) => this.#isDue(topic));
  }

  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery> {
    return this.#groups.consume(group, pattern, options);
  }

  async countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    this.#mustBeOpen();
    return this.#groups.countBefore(group, topics);
  }

  async countWaiting(groups: readonly string[], flow?: string): Promise<readonly WaitingCounts[]> {
    return this.#groups.countWaiting(groups, flow);
  }

  async setPaused(paused: Paused): Promise<Paused> {
    return this.#groups.setPaused(paused);
  }

  async check(after?: LiteTopicName): Promise<CheckedPage> {
    this.#mustBeOpen();
    return this.#check.page(after);
  }

  checkIndex(): Promise<string | undefined> {
    return checkIndex(this.#storage.folder, this.#storage.index);
  }

  damaged(): readonly DamagedTopic[] {
    return this.#damage.list();
  }

  lostParts(): readonly LostPart[] {
    return this.#damage.lostParts();
  }

  health(): BrokerHealth {
    const { reserve, segments, index, fsync, time } = this.#storage;
    const isFull = this.#commit.state === 'ready' && !reserve.isWhole;
    if (isFull) this.#lookForRoom();
    const damage = this.#damage.count(segments.missing.size, index.isDamaged);
    const isDegraded = this.#commit.state === 'ready' && Object.values(damage).some((count) => count > 0);
    const state = isFull ? 'full' : isDegraded ? 'degraded' : this.#commit.state;
    return { state, durability: describeDurability(fsync), notice: time.notice, damage };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  // TopicEvents: the appender calls these when a frame is durable

  visible(topic: Topic, major: boolean): void {
    topic.markReaders(major, this.#wakes);
    this.#groups.onAppended(topic.name);
  }

  ended(topic: Topic, tombstone: Tombstone): void {
    topic.endReaders(tombstone, this.#wakes);
    this.#damage.forget(topic.name);
    this.#groups.onRemoved(topic.name);
  }

  /** Each reader reads from its position, which is in an earlier epoch now, and receives a reset. */
  declaredLost(topic: Topic): void {
    topic.markReaders(true, this.#wakes);
    this.#groups.onAppended(topic.name);
  }

  groupSaved(group: string, pattern: string): void {
    this.#storage.groups.set(group, parseTopicPattern(pattern));
    this.#storage.checkpoint.addGroup(group, pattern);
  }

  // BatchEvents: the group commit calls these around a batch

  get holdsCommits(): boolean {
    return this.#schedule.holdsCommits;
  }

  batchCommitted(bytes: number): void {
    this.#wakes.drain();
    this.#schedule.atBatchBoundary(bytes);
    this.#reclaim.batchCommitted();
  }

  /** The next batch begins another segment: a segment is deleted when all records in it were removed, but the current
   *  segment never is. */
  deviceFull(): void {
    this.#storage.reserve.markUsed();
    this.#storage.writer.endSegmentEarly();
  }

  /** The group commit has failed for good. `onFatal` is called once. */
  failed(error: BrokerError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#schedule.end();
    this.#storage.onFatal(error);
  }

  // ExpiryRules: expiry calls these for a topic whose time is up

  isHeld(topic: Topic): boolean {
    return this.#groups.hasLag(topic.name);
  }

  async extend({ name, pending }: Topic): Promise<void> {
    if (pending === undefined) return;
    const { epoch } = pending.state;
    await this.#appender.append([{ topic: name, records: [], expect: { epoch } }]);
  }

  /** The topic's end is durable before the caller receives an answer that rests on it. */
  async expire({ name }: Pick<Topic, 'name'>): Promise<void> {
    await this.#appender.end(name, 'expired');
  }

  whenRoom(): Promise<void> {
    return this.#schedule.whenRoom();
  }

  /** A damaged index ends the sweep and not the engine: topics in memory still expire. */
  sweepFailed(error: unknown): void {
    if (!isBrokerError(error, 'corrupt')) this.#commit.failNow(error);
  }

  // CheckpointWork and ReclaimEvents: the checkpoint schedule and the reclaim call these

  isNeededForRoom(): boolean {
    const { reserve, segments, writer } = this.#storage;
    if (reserve.isWhole) return false;
    return segments.dead(writer.position.segment).length > 0 || this.#reclaim.needsCheckpoint();
  }

  async writeCheckpoint(captured: () => void): Promise<void> {
    const { checkpoint, writer, time, run, table } = this.#storage;
    const { segment } = writer.position;
    await checkpoint.write(writer.position, time.now(), run, captured);
    await table.trim();
    this.#reclaim.afterCheckpoint(segment);
  }

  requestCheckpoint(): void {
    this.#schedule.request();
  }

  // TimeEvents: the engine time calls these at each check of the clock

  recordTime(now: number): Promise<void> {
    return this.#storage.checkpoint.recordTime(now);
  }

  timeJumped(): void {
    this.#expiry.restart();
  }

  timeFailed(error: unknown): void {
    this.#commit.failNow(error);
  }

  async #close(): Promise<void> {
    this.#groups.close();
    this.#expiry.close();
    this.#reads.close();
    await this.blobs.close();
    await this.#reclaim.stop();
    await this.#commit.drained();
    await this.#storage.time.stop();
    await this.#schedule.stop();
    this.#commit.stop();
    await runEvery([() => this.#writeLastCheckpoint(), () => this.#storage.release()]);
  }

  /** Writes no checkpoint on a failed device: the checkpoint could disagree with the log. */
  async #writeLastCheckpoint(): Promise<void> {
    const { checkpoint, writer, time, run } = this.#storage;
    if (this.#commit.state === 'failed') return;
    try {
      await writer.sync();
      await checkpoint.write(writer.position, time.now(), { ...run, clean: true });
    } catch (error) {
      // Without room for a checkpoint the next start replays more of the log, as after a crash.
      if (!isCode(error, 'ENOSPC')) throw error;
    }
  }

  #isDue(topic: Topic | undefined): boolean {
    return topic !== undefined && this.#expiry.isDue(topic);
  }

  /** The next call of `health` reports what was found. Otherwise a log without appends would stay `full`. */
  #lookForRoom(): void {
    const now = this.#storage.clock.mono();
    if (this.#closed !== undefined || now - this.#roomCheckedAt < ROOM_CHECK_MS) return;
    this.#roomCheckedAt = now;
    // A reserve that cannot be written fails the next append, which looks for room as well.
    this.#storage.reserve.heal().catch(() => undefined);
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw closed();
  }
}

function closed(): BrokerError {
  return new BrokerError('closed', 'the broker was closed');
}
