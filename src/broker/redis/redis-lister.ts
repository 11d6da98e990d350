// Lists topics by name over all partitions: each partition answers with its names in order, and the lister merges the
// pages. A pattern that ends in a name concerns one partition only.
import { type TopicInfo, type TopicPage, checkListLimit } from '../broker.ts';
import { literalPrefix, type LiteTopicName, type TopicPattern } from '../lite-topic.ts';
import { decodeList, encodeList, LIST } from './commands/list.ts';
import type { RedisCommands } from './connection/redis-commands.ts';

/** Names requested from each partition beyond its share, so that an uneven spread costs no second round. */
const MORE_THAN_ITS_SHARE = 8;

interface Bounds {
  readonly upTo: string;
  readonly pattern: TopicPattern;
  readonly share: number;
}

export class RedisLister {
  readonly #commands: RedisCommands;

  constructor(commands: RedisCommands) {
    this.#commands = commands;
  }

  async page(
    pattern: TopicPattern,
    { after, limit }: { readonly after?: LiteTopicName; readonly limit: number },
  ): Promise<TopicPage> {
    checkListLimit(limit);
    const prefix = literalPrefix(pattern);
    const partitions = this.#partitionsOf(pattern);
    // Names are ASCII, so every name with the prefix sorts before this bound.
    const bounds = {
      upTo: `(${prefix}\u00ff`,
      pattern,
      share: Math.min(limit + 1, Math.ceil((2 * limit) / partitions.length) + MORE_THAN_ITS_SHARE),
    };
    const from = after !== undefined && after >= prefix ? `(${after}` : `[${prefix}`;
    const lists = partitions.map((partition) => new PartitionList(this.#commands, partition, from, bounds));
    await Promise.all(lists.map((list) => list.fill()));
    const topics: TopicInfo[] = [];
    for (let first = await smallest(lists); first !== undefined; first = await smallest(lists)) {
      const last = topics.at(-1);
      if (topics.length === limit && last !== undefined) return { topics, after: last.topic };
      topics.push(first.take());
    }
    return { topics };
  }

  #partitionsOf(pattern: TopicPattern): readonly number[] {
    const { keys } = this.#commands;
    const last = pattern.slice(pattern.lastIndexOf('/') + 1);
    return last === '*'
      ? Array.from({ length: keys.partitions }, (_, n) => n)
      : [keys.partitionOf(`x/${last}` as LiteTopicName)];
  }
}

/** The topics of one partition, one page at a time. */
class PartitionList {
  readonly #commands: RedisCommands;
  readonly #partition: number;
  readonly #bounds: Bounds;
  #from: string;
  #isDone = false;
  #infos: readonly TopicInfo[] = [];
  #at = 0;

  constructor(commands: RedisCommands, partition: number, from: string, bounds: Bounds) {
    this.#commands = commands;
    this.#partition = partition;
    this.#from = from;
    this.#bounds = bounds;
  }

  get head(): TopicInfo | undefined {
    return this.#infos[this.#at];
  }

  take(): TopicInfo {
    const { head } = this;
    if (head === undefined) throw new RangeError('nothing is left');
    this.#at += 1;
    return head;
  }

  /** Requests pages until there is a head or the partition has no more names. */
  async fill(): Promise<void> {
    while (this.head === undefined && !this.#isDone) {
      const { upTo, pattern, share } = this.#bounds;
      const request = encodeList({ from: this.#from, upTo, pattern, limit: share });
      const { after, infos } = decodeList(await this.#commands.run(LIST, this.#partition, request));
      this.#isDone = after === undefined;
      this.#from = `(${after}`;
      this.#infos = infos;
      this.#at = 0;
    }
  }
}

/** The list whose next name sorts first. */
async function smallest(lists: readonly PartitionList[]): Promise<PartitionList | undefined> {
  let first: PartitionList | undefined;
  for (const list of lists) {
    if (list.head === undefined) await list.fill();
    if (list.head !== undefined && (first?.head === undefined || list.head.topic < first.head.topic)) first = list;
  }
  return first;
}
