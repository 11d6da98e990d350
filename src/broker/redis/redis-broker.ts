// The engine on Redis: runs one script for each call of the broker. Redis itself decides what a write means
// (append.ts), because any node may write. RedisNodes decides which server is called and what is sent again.
import { validateWrites } from '../append-rules.ts';
import type {
  Appended,
  BrokerEngine,
  ConsumeOptions,
  Delivery,
  DescribeOptions,
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
import type { BrokerHealth } from '../health.ts';
import { BrokerError, isBrokerError } from '../errors.ts';
import type { LiteTopicName, TopicPattern } from '../lite-topic.ts';
import type { Position } from '../position.ts';
import { TailReader } from '../tail/tail-reader.ts';
import { RedisBlobs } from './blobs/redis-blobs.ts';
import { AppendLanes } from './append-lanes.ts';
import { AccountQuotas } from './accounts/account-quotas.ts';
import { recountPartition, RECOUNT_MS } from './accounts/recount.ts';
import { APPEND, APPEND_IN_RESERVE } from './commands/append.ts';
import { decodeAppend, decodeCharged, encodeAppend, type AppendRules, type Charge } from './commands/append-call.ts';
import { decodeDescribe, DESCRIBE, DESCRIBE_DURABLE, DESCRIBE_MAX, DESCRIBE_WATCHED } from './commands/describe.ts';
import { WatchTable } from './watch/watch-table.ts';
import { PartitionSweep } from './partition-sweep.ts';
import type { Paused, QueuePlace } from '../flow-policy.ts';
import type { FlowRules } from './schedule/group-schedule.ts';
import { RedisGroups } from './queue/redis-groups.ts';
import { decodeRead, encodeRead, READ, type RedisRead } from './commands/read.ts';
import type { RedisReply, RedisScript } from './connection/redis-commands.ts';
import { RedisLister } from './redis-lister.ts';
import type { RedisNodes } from './connection/redis-nodes.ts';
import { decodeRemove, encodeRemove, REMOVE } from './commands/remove.ts';

/** The most slices of a recount in one partition in one round of the sweep. */
const SLICES_MAX = 10;

export interface RedisBrokerParts {
  readonly nodes: RedisNodes;
  readonly rules: AppendRules;
  readonly flows: FlowRules;
  readonly durability: string;
  readonly onError: (error: unknown) => void;
  /** Called once in each round of the sweep. */
  readonly checkClock: () => Promise<void>;
  /** Between the begins of two calls with appends of tokens. */
  readonly batchPauseMs: number;
}

export class RedisBroker implements BrokerEngine {
  readonly blobs: RedisBlobs;
  readonly #parts: RedisBrokerParts;
  readonly #watches: WatchTable;
  readonly #groups: RedisGroups;
  readonly #lister: RedisLister;
  readonly #quotas: AccountQuotas;
  readonly #lanes: AppendLanes;
  readonly #sweep: PartitionSweep;
  #closed: Promise<void> | undefined;

  constructor(parts: RedisBrokerParts) {
    const { nodes, rules, onError, checkClock } = parts;
    this.#parts = parts;
    this.blobs = new RedisBlobs(nodes);
    this.#watches = new WatchTable({
      commands: nodes,
      read: (topic, position, majorOnly) => this.#read(topic, position, { majorOnly }),
      describe: (topics) => this.#describe(topics, DESCRIBE_WATCHED),
      mustBeOpen: () => this.#mustBeOpen(),
    });
    this.#groups = new RedisGroups({ commands: nodes, broker: this, flows: parts.flows, onError });
    this.#lister = new RedisLister(nodes);
    this.#quotas = new AccountQuotas(nodes, rules.newEpoch, onError);
    this.#lanes = new AppendLanes({
      commands: nodes,
      appendAlone: async (writes) => decodeAppend(await this.#appendAlone(writes)),
      pauseMs: parts.batchPauseMs,
    });
    this.#sweep = new PartitionSweep({
      commands: nodes,
      isKept: rules.isKept,
      onError,
      checkClock,
      onRound: () => nodes.probe(),
      recount: (partition) => this.#recount(partition),
    });
  }

  async append(writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
    this.#mustBeOpen();
    validateWrites(writes);
    const charged = chargedOf(writes);
    const account = charged && this.#parts.rules.accountOf?.(charged.topic);
    if (charged === undefined || account === undefined) return this.#lanes.append(writes);
    return this.#quotas.spend(account, charged, async (charge) =>
      decodeCharged(await this.#appendAlone(writes, charge)),
    );
  }

  async #recount(partition: number): Promise<void> {
    const { nodes, rules } = this.#parts;
    if (rules.accountOf === undefined) return;
    await recountPartition(nodes, rules.accountOf, partition, { afterMs: RECOUNT_MS, slicesMax: SLICES_MAX });
  }

  #appendAlone(writes: readonly TopicWrite[], charge?: Charge): Promise<RedisReply> {
    const { nodes, rules } = this.#parts;
    const [first] = writes;
    const partition = first === undefined ? 0 : nodes.keys.partitionOf(first.topic);
    const args = encodeAppend(writes, rules, charge);
    const reply = nodes.run(APPEND, partition, args);
    if (!writes.some(mayUseReserve)) return reply;
    return reply.catch((error: unknown) => {
      // A full server refuses the first write of the script, so nothing was written.
      if (!isBrokerError(error, 'disk-full')) throw error;
      return nodes.run(APPEND_IN_RESERVE, partition, args);
    });
  }

  async read(topic: LiteTopicName, from: ReadFrom, options: ReadOptions = {}): Promise<ReadResult> {
    this.#mustBeOpen();
    return (await this.#read(topic, from, options)).result;
  }

  tail(topic: LiteTopicName, from: Position, options: TailOptions): Tail {
    return new TailReader(this.#watches.source(topic), from, options);
  }

  async describe(
    topics: readonly LiteTopicName[],
    { isDurable = false }: DescribeOptions = {},
  ): Promise<readonly (TopicInfo | undefined)[]> {
    this.#mustBeOpen();
    return this.#describe(topics, isDurable ? DESCRIBE_DURABLE : DESCRIBE);
  }

  async remove(topic: LiteTopicName, ifUnchanged?: Position): Promise<boolean> {
    this.#mustBeOpen();
    const { nodes, rules } = this.#parts;
    const args = encodeRemove(topic, rules.isKept, ifUnchanged);
    const isRemoved = decodeRemove(await nodes.run(REMOVE, nodes.keys.partitionOf(topic), args));
    if (isRemoved) this.#groups.ended(topic);
    return isRemoved;
  }

  async list(
    pattern: TopicPattern,
    page: { readonly after?: LiteTopicName; readonly limit: number },
  ): Promise<TopicPage> {
    this.#mustBeOpen();
    return this.#lister.page(pattern, page);
  }

  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery> {
    return this.#groups.consume(group, pattern, options);
  }

  async countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>> {
    this.#mustBeOpen();
    return this.#groups.countBefore(group, topics);
  }

  async countWaiting(groups: readonly string[], flow?: string): Promise<readonly WaitingCounts[]> {
    this.#mustBeOpen();
    return this.#groups.countWaiting(groups, flow);
  }

  async setPaused(paused: Paused): Promise<Paused> {
    this.#mustBeOpen();
    return this.#groups.setPaused(paused);
  }

  health(): BrokerHealth {
    return { state: this.#parts.nodes.state, durability: this.#parts.durability };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#sweep.close();
    this.#watches.close();
    await this.#groups.close();
    await this.#lanes.drained();
    await this.#parts.nodes.close();
  }

  async #read(topic: LiteTopicName, from: ReadFrom, options: ReadOptions): Promise<RedisRead> {
    const { nodes } = this.#parts;
    return decodeRead(await nodes.run(READ, nodes.keys.partitionOf(topic), encodeRead(topic, from, options)));
  }

  async #describe(topics: readonly LiteTopicName[], script: RedisScript): Promise<readonly (TopicInfo | undefined)[]> {
    const { nodes } = this.#parts;
    const infos = new Map<LiteTopicName, TopicInfo | undefined>();
    const asks = [...nodes.keys.byPartition(new Set(topics))].flatMap(([partition, names]) =>
      Array.from({ length: Math.ceil(names.length / DESCRIBE_MAX) }, async (_, i) => {
        const some = names.slice(i * DESCRIBE_MAX, (i + 1) * DESCRIBE_MAX);
        const found = decodeDescribe(some, await nodes.run(script, partition, some));
        for (const [at, name] of some.entries()) infos.set(name, found[at]);
      }),
    );
    await Promise.all(asks);
    return topics.map((topic) => infos.get(topic));
  }

  #mustBeOpen(): void {
    if (this.#closed !== undefined) throw new BrokerError('closed', 'the broker was closed');
  }
}

/** The write that names a quota. */
function chargedOf(writes: readonly TopicWrite[]): TopicWrite | undefined {
  for (const write of writes) if (write.quota !== undefined) return write;
  return undefined;
}

function mayUseReserve(write: TopicWrite): boolean {
  return write.mayUseReserve === true;
}
