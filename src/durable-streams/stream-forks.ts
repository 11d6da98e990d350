// The register of forks: for each stream a small log with the names of its forks. A fork is a copy, so no data depends
// on the register. It answers one question: does a removed stream keep its name, because forks of it live? A name is
// written before its fork is made and is checked when it is read, so an entry without a fork does no harm.
import type { Broker, NewRecord } from '../broker/broker.ts';
import { parseLiteTopicName, type LiteTopicName } from '../broker/lite-topic.ts';
import type { Clock } from '../base/clock.ts';
import { ForkCopy, type ForkFailure, type ForkRequest } from './fork-copy.ts';
import type { StreamLog } from './stream-log.ts';
import type { LoadedStream } from './stream-records.ts';

/** Living forks of one stream. */
export const FORKS_MAX = 256;
/** Entries of one register. Beyond it the entries of forks that are gone are dropped. */
const ENTRIES_MAX = 1_024;
/** A register ends this long after its last entry: a removed stream keeps its name no longer. */
const REGISTER_TTL_MS = 90 * 24 * 60 * 60 * 1000;
/** Streams that one search for living forks looks at. Beyond it the name counts as taken. */
const LOOKS_MAX = 1_024;

/** The identity of a stream: its topic and its epoch. */
interface StreamId {
  readonly topic: LiteTopicName;
  readonly epoch: string;
}

interface ForkEntry {
  readonly fork: LiteTopicName;
  /** The epoch of the stream when the fork was made. */
  readonly of: string;
}

/** The stream was removed while it had forks. */
interface RemovedEntry {
  readonly removed: string;
  /** What the removed stream was itself a fork of. */
  readonly source?: StreamId;
}

type Entry = ForkEntry | RemovedEntry;

export interface StreamForksDeps {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly streamLog: StreamLog;
  /** The register of a stream. */
  readonly registerOf: (stream: LiteTopicName) => LiteTopicName;
}

export class StreamForks {
  readonly #deps: StreamForksDeps;

  constructor(deps: StreamForksDeps) {
    this.#deps = deps;
  }

  /** Makes a fork. @throws BrokerError */
  async fork(source: LoadedStream, request: ForkRequest): Promise<ForkFailure | 'too-many' | undefined> {
    if (!(await this.#enter(source, request.topic))) return 'too-many';
    const { broker, clock, streamLog } = this.#deps;
    return new ForkCopy(broker, clock, streamLog, source, request).run();
  }

  /** Enters a fork that is about to be made. False: the stream has as many forks as it may have. */
  async #enter({ topic, epoch }: LoadedStream, fork: LiteTopicName): Promise<boolean> {
    const entries = await this.#read(topic);
    const forks = forksOf(entries, epoch);
    if (entries.length >= ENTRIES_MAX || forks.length >= FORKS_MAX) {
      const living: ForkEntry[] = [];
      const looks = { left: LOOKS_MAX };
      for (const one of forks) if (await this.#lives(one, { topic, epoch }, looks)) living.push(one);
      if (living.length >= FORKS_MAX) return false;
      // An entry that another node adds in between is lost, and its stream's name is free too early.
      await this.#deps.broker.remove(this.#deps.registerOf(topic));
      await this.#add(topic, living);
    }
    await this.#add(topic, [{ fork, of: epoch }]);
    return true;
  }

  /** Removes the stream. It keeps its name while forks of it live. @throws BrokerError */
  async remove({ topic, epoch, config: { fork } }: LoadedStream): Promise<void> {
    const forks = forksOf(await this.#read(topic), epoch);
    if (forks.length > 0) {
      const source = fork && { topic: parseLiteTopicName(fork.source), epoch: fork.epoch };
      await this.#add(topic, [{ removed: epoch, ...(source === undefined ? {} : { source }) }]);
    }
    await this.#deps.streamLog.remove(topic);
  }

  /** For a stream that does not exist: was it removed, and do forks of it live? @throws BrokerError */
  async isKept(topic: LiteTopicName): Promise<boolean> {
    return this.#isKept(topic, undefined, { left: LOOKS_MAX });
  }

  /** `source`: only if the removed stream was a fork of it. */
  async #isKept(topic: LiteTopicName, source: StreamId | undefined, looks: { left: number }): Promise<boolean> {
    const entries = await this.#read(topic);
    const removed = entries.findLast((one) => 'removed' in one);
    if (removed === undefined || (source !== undefined && !isSame(removed.source, source))) return false;
    const id = { topic, epoch: removed.removed };
    for (const one of forksOf(entries, removed.removed).toReversed())
      if (await this.#lives(one, id, looks)) return true;
    // A fork that is gone never comes back.
    await this.#deps.broker.remove(this.#deps.registerOf(topic));
    return false;
  }

  /** A removed fork lives on in its own forks. */
  async #lives({ fork }: ForkEntry, source: StreamId, looks: { left: number }): Promise<boolean> {
    looks.left -= 1;
    if (looks.left < 0) return true;
    const stream = await this.#deps.streamLog.load(fork);
    if (stream === undefined) return this.#isKept(fork, source, looks);
    const { fork: origin } = stream.config;
    return origin?.source === source.topic && origin.epoch === source.epoch;
  }

  async #add(topic: LiteTopicName, entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    const records: NewRecord[] = entries.map((entry) => ({ major: true, data: JSON.stringify(entry) }));
    await this.#deps.broker.append([
      { topic: this.#deps.registerOf(topic), records, expect: { create: true }, ttlMs: REGISTER_TTL_MS },
    ]);
  }

  /** Lost entries are left out. */
  async #read(topic: LiteTopicName): Promise<readonly Entry[]> {
    const register = this.#deps.registerOf(topic);
    const entries: Entry[] = [];
    let from: Parameters<Broker['read']>[1] = 'earliest';
    for (;;) {
      const result = await this.#deps.broker.read(register, from);
      if (result.kind !== 'batch') return entries;
      for (const item of result.items) if (item.kind === 'record') entries.push(JSON.parse(item.data) as Entry);
      if (result.end) return entries;
      from = { epoch: result.epoch, offset: result.next };
    }
  }
}

function forksOf(entries: readonly Entry[], epoch: string): ForkEntry[] {
  return entries.filter((one): one is ForkEntry => 'fork' in one && one.of === epoch);
}

function isSame(a: StreamId | undefined, b: StreamId): boolean {
  return a?.topic === b.topic && a.epoch === b.epoch;
}
