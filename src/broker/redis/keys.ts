// Every key and channel of this engine in Redis, and what each holds. All keys of a partition carry its hash tag, so
// that in a cluster they are on one node, and one script can change them together.
//
//   P = {<prefix>:p<n>}     the partition itself: no key; scripts are routed by it (KEYS[1])
//   P:life                  hash: the era, and the server that wrote last (topic-lua.ts)
//   P:names                 zset, score 0: the topics that are alive, for lists
//   P:due                   zset, score = no later than when the topic's time is up: read by the sweep
//   P:t:<topic>             hash: the topic's state, or its tombstone (fields below)
//   P:M:<topic>             stream of the major records, id = <offset + 1>-0, one field `d`: the data
//   P:m:<topic>             stream of the minor records, likewise
//   P:h:<topic>             zset of declared holes, score = to, member = <from>:<to>:<by>
//   P:q…                    everything of group consumption (queue/)
//   P:c:<topic>             channel: what one append adds to the topic
//   P:b                     channel: what one call adds to several topics (commands/append-batch.ts). A single server
//                           has only that of partition 0, for the topics of all partitions.
//   P:w                     channel: a topic of this partition became ready for a group
//   P:a…                    accounts and their quotas (commands/account-lua.ts, accounts/home-scripts.ts)
//   P:bo P:bi:… P:b:…       blobs (blobs/blob-lua.ts)
//   P:clock                 of partition 0: the time by which chats end, ms since 1970, as the nodes saw it last
//                           (server-clock.ts)
//   P:layout                of partition 0, hash: layout version and number of partitions, so that no node uses another
//
//   G = {<prefix>:s}        the schedules of all groups: no key. Their keys are in schedule/schedule-lua.ts.
//   G:w                     channel: a group may have something to deliver because of a limit
//
// A place is where scripts run: a partition, or G.
import { routingKey } from '../append-rules.ts';
import { BrokerError } from '../errors.ts';
import type { LiteTopicName } from '../lite-topic.ts';

/** Raised when keys or fields change their meaning: a store of another layout is refused. */
export const LAYOUT_VERSION = 1;
export const PARTITIONS_DEFAULT = 64;
export const PARTITIONS_MAX = 1024;
export const PREFIX_DEFAULT = 'holdline';
/** No braces: they would change the hash tag. */
const PREFIX = /^[A-Za-z0-9_.:-]{1,64}$/;

/** After P, before the topic. */
export const TOPIC_KEYS = { meta: ':t:', majors: ':M:', minors: ':m:', holes: ':h:', channel: ':c:' } as const;
/** After P. */
export const PARTITION_KEYS = {
  history: ':life',
  names: ':names',
  due: ':due',
  queue: ':q',
  wake: ':w',
  batches: ':b',
  layout: ':layout',
  clock: ':clock',
} as const;

/** After P; the last two are followed by the owner. */
export const BLOB_KEYS = { owners: ':bo', ids: ':bi:', blob: ':b:' } as const;

/** After P; a key that ends with a colon is followed by the account. */
export const ACCOUNT_KEYS = {
  figures: ':ac',
  unsettled: ':au:',
  applied: ':at:',
  recount: ':ar',
  recountTopics: ':arn',
  recountBytes: ':arb',
  home: ':ah:',
  tickets: ':ak:',
} as const;

/** Fields of a topic's hash, one letter each because there may be millions. A field that is absent has the default
 *  given here. */
export const META = {
  /** The epoch as readers receive it, if the topic's era is still the partition's. */
  epoch: 'e',
  /** The partition's era at the topic's last write. */
  era: 'r',
  /** The offset of the next record. Default: offset 0. */
  next: 'n',
  /** The offset of the last major record. Default: offset -1, there is no major record. */
  lastMajor: 'M',
  /** The current fencing token. Default: token -1, no fence was taken. */
  fence: 'f',
  /** The seq of the last append under the fence. Default: seq 0, nothing was appended under it. */
  lastSeq: 's',
  /** The answers to the append with lastSeq, `epoch,first,next;…`. Default: an empty text, there are no answers. */
  lastAnswers: 'a',
  /** The topic expires this many ms after its last write. Default: no time, the topic does not expire. */
  ttlMs: 't',
  /** When the topic expires, ms since 1970. Default: no time, the topic does not expire. */
  expiresAt: 'x',
  /** What the topic has besides a plain TTL, `<mode> <ms since 1970 of its birth> <ms since 1970 of its hard maximum>`
   *  with i, r or a for the mode, and '-' for no hard maximum. Default: a plain TTL. */
  life: 'l',
  /** The class in which the groups queue the topic. Default: the class 'normal'. */
  priority: 'p',
  /** Groups get no record of the topic before this time, ms since 1970. Default: time 0. */
  notBefore: 'y',
  /** UTF-8 bytes of the live major records, and of the live minor records. Default: 0 bytes. */
  majorBytes: 'B',
  minorBytes: 'b',
  /** What the topic's account counts for it: `<bytes> <besideBytes> <account>`. With '+' in front, minor records came
   *  since, and the topic is in P:au:<account>. Default: the topic counts for no account. */
  counted: 'C',
  /** The topic's score in P:due, if it is in there. */
  dueAt: 'u',
  /** Only in a tombstone: 'expired' or 'removed', and when (ms since 1970). It keeps e and n, and loses the rest. */
  ended: 'd',
  endedAt: 'D',
  /** The field's name continues with the group. The first offset that the group has not consumed. Default:
   *  offset 0. */
  consumed: 'c:',
} as const;

export class RedisKeys {
  readonly partitions: number;
  /** By place: the partitions, then the schedules. */
  readonly #tags: readonly string[];
  readonly #isCluster: boolean;

  /** @throws BrokerError invalid-config */
  constructor(prefix: string, partitions: number, { isCluster = false }: { readonly isCluster?: boolean } = {}) {
    if (!PREFIX.test(prefix))
      throw new BrokerError('invalid-config', 'the Redis prefix has letters, digits and _ . : - only, at most 64');
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > PARTITIONS_MAX) {
      throw new BrokerError('invalid-config', `Redis partitions are from 1 to ${PARTITIONS_MAX}`);
    }
    this.partitions = partitions;
    this.#isCluster = isCluster;
    this.#tags = [...Array.from({ length: partitions }, (_, n) => `{${prefix}:p${n}}`), `{${prefix}:s}`];
  }

  /** Topics of one routing key are in one partition. */
  partitionOf(topic: LiteTopicName): number {
    return hashOf(routingKey(topic)) % this.partitions;
  }

  /** The topics of each partition, in the given order. */
  byPartition(topics: Iterable<LiteTopicName>): ReadonlyMap<number, readonly LiteTopicName[]> {
    const grouped = new Map<number, LiteTopicName[]>();
    for (const topic of topics) {
      const partition = this.partitionOf(topic);
      const names = grouped.get(partition);
      if (names === undefined) grouped.set(partition, [topic]);
      else names.push(topic);
    }
    return grouped;
  }

  /** The partition with the home of an account. */
  homeOf(account: string): number {
    return hashOf(account) % this.partitions;
  }

  /** The place of the schedules. */
  get schedules(): number {
    return this.partitions;
  }

  /** P or G, the place's hash tag. */
  tag(place: number): string {
    const tag = this.#tags[place];
    if (tag === undefined) throw new RangeError(`there is no place ${place}`);
    return tag;
  }

  topicChannel(topic: LiteTopicName): string {
    return this.tag(this.partitionOf(topic)) + TOPIC_KEYS.channel + topic;
  }

  /** The partition whose channel P:b has what calls add to this partition. Partitions with the same answer are on one
   *  server, so one call may write to all of them. */
  batchPlaceOf(partition: number): number {
    return this.#isCluster ? partition : 0;
  }

  batchChannel(batchPlace: number): string {
    return this.tag(batchPlace) + PARTITION_KEYS.batches;
  }

  wakeChannel(place: number): string {
    return this.tag(place) + PARTITION_KEYS.wake;
  }
}

/** FNV-1a, 32 bits. Part of the layout: with another hash, nodes would not find existing topics. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
