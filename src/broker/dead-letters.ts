// Dead letters: records that a group has given up. Each letter is a topic of its own beside the topic of its record,
// `dead/<group>/<id>/<routing key>`, so every engine keeps it as durably as any topic, its TTL ends it, and one append
// releases it. The id comes from the record's place, and the letter's topic must be absent when it is made: a record
// that is set aside a second time, because a crash came before it was consumed, makes no second letter.
import { createHash } from 'node:crypto';
import { routingKey } from './append-rules.ts';
import type { Broker, DeadLetter, LogRecord, Priority } from './broker.ts';
import { BrokerError, isBrokerError } from './errors.ts';
import { parseLiteTopicName, parseTopicPattern, TOPIC_NAME_BYTES_MAX, type LiteTopicName } from './lite-topic.ts';

/** The deliveries of one record, if its consumer names no other number. */
export const ATTEMPTS_MAX = 16;
/** The largest number that a consumer may name. */
export const ATTEMPTS_MAX_MAX = 1_000;
/** How long a letter is kept. */
export const DEAD_LETTER_TTL_MS = 30 * 24 * 60 * 60 * 1000;
/** How long a released letter is remembered: far longer than the crash of a node and the end of its lease take. */
export const RELEASED_TTL_MS = 24 * 60 * 60 * 1000;
/** Letters of one group. With more, the oldest end. A node looks once in PRUNE_EVERY letters, so that this many more
 *  may be there for each node. */
export const DEAD_LETTERS_MAX = 10_000;
export const PRUNE_EVERY = 100;
/** The reason of a letter whose record was delivered too often. */
export const TOO_MANY_ATTEMPTS = 'attempts';
/** A code, never text of a user: reasons are in log lines. */
const REASON = /^[a-z0-9-]{1,64}$/;
const ID_CHARS = 16;
const PAGE = 1000;

export interface DeadLetterPage {
  /** At most `limit`. Fewer, or even none, also if more follow. In the order of their names. */
  readonly letters: readonly DeadLetter[];
  readonly after?: LiteTopicName;
}

/** What a group gives up: a record with its place. */
export interface GivenUp {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly record: LogRecord;
  readonly priority: Priority;
}

export type LetterBroker = Pick<Broker, 'append' | 'describe' | 'list' | 'read' | 'remove'>;

/** The letter's first record. Its second one is the data, which the release supersedes. */
interface Head extends Omit<DeadLetter, 'name'> {
  readonly v: 1;
  readonly major: boolean;
  readonly priority: Priority;
  /** The TTL of the record's topic, for a release after the topic has ended. */
  readonly ttlMs?: number;
}

/** @throws BrokerError invalid-config */
export function checkReason(reason: string): void {
  if (!REASON.test(reason)) throw new BrokerError('invalid-config', 'a reason has 1 to 64 of a-z, 0-9 and -');
}

/** Sets aside what one group gives up. */
export class DeadLetters {
  readonly #broker: LetterBroker;
  readonly #group: string;
  readonly #now: () => number;
  #untilPrune = 0;

  /** `now`: ms since 1970. */
  constructor(broker: LetterBroker, group: string, now: () => number) {
    this.#broker = broker;
    this.#group = group;
    this.#now = now;
  }

  /** The letter is durable when this resolves. The caller then consumes the record, and not before. No effect if the
   *  record was set aside before, released or not. @throws BrokerError of the append */
  async setAside({ topic, epoch, record, priority }: GivenUp, attempts: number, reason: string): Promise<DeadLetter> {
    const [info] = await this.#broker.describe([topic]);
    const { offset, major, data } = record;
    const letter = { group: this.#group, topic, epoch, offset, attempts, reason, at: this.#now() };
    const head: Head = {
      v: 1,
      ...letter,
      major,
      priority,
      ...(info?.ttlMs === undefined ? {} : { ttlMs: info.ttlMs }),
    };
    const name = letterName(this.#group, topic, epoch, offset);
    const records = [
      { major: true, data: JSON.stringify(head) },
      { major: false, data },
    ];
    try {
      await this.#broker.append([
        {
          ...{ topic: name, records, expect: { absent: true } },
          ...{ ttlMs: DEAD_LETTER_TTL_MS, ttlMode: 'absolute' },
        },
      ]);
    } catch (error) {
      if (!isBrokerError(error, 'conflict')) throw error;
    }
    await this.#prune();
    return { name, ...letter };
  }

  async #prune(): Promise<void> {
    this.#untilPrune -= 1;
    if (this.#untilPrune > 0) return;
    this.#untilPrune = PRUNE_EVERY;
    await pruneDeadLetters(this.#broker, this.#group, DEAD_LETTERS_MAX);
  }
}

/** Ends the letters of a group that are too many, those first that would expire first. */
export async function pruneDeadLetters(broker: LetterBroker, group: string, max: number): Promise<void> {
  const found: { readonly topic: LiteTopicName; readonly expiresAt: number }[] = [];
  for (let after: LiteTopicName | undefined, isMore = true; isMore;) {
    const page = await broker.list(pattern(group), { limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const { topic, expiresAt = 0 } of page.topics) found.push({ topic, expiresAt });
    after = page.after;
    isMore = after !== undefined;
  }
  if (found.length <= max) return;
  found.sort((a, b) => a.expiresAt - b.expiresAt);
  for (const { topic } of found.slice(0, found.length - max)) await broker.remove(topic);
}

/** The letters of one group, or of all groups. @throws BrokerError of the engine */
export async function listDeadLetters(
  broker: Pick<Broker, 'list' | 'read'>,
  { group = '*', after, limit }: { readonly group?: string; readonly after?: LiteTopicName; readonly limit: number },
): Promise<DeadLetterPage> {
  const page = await broker.list(pattern(group), { limit, ...(after === undefined ? {} : { after }) });
  const letters: DeadLetter[] = [];
  for (const { topic } of page.topics) {
    const found = await readHead(broker, topic);
    if (found === undefined) continue;
    const { group: of, topic: from, epoch, offset, attempts, reason, at } = found.head;
    letters.push({ name: topic, group: of, topic: from, epoch, offset, attempts, reason, at });
  }
  return { letters, ...(page.after === undefined ? {} : { after: page.after }) };
}

/** Appends the record to its topic once more, and ends the letter with the same append. The record is delivered as if
 *  it were new: behind what waits in its topic, with the attempts counted from 1. False: there is no such letter, or it
 *  was released before. A release that failed with `unavailable` can be repeated, because it never happens twice.
 *  @throws BrokerError of the engine */
export async function releaseDeadLetter(broker: LetterBroker, name: LiteTopicName): Promise<boolean> {
  const found = await readHead(broker, name);
  if (found === undefined) return false;
  const { head, epoch } = found;
  const result = await broker.read(name, { epoch, offset: 1 }, { maxRecords: 1 });
  const [record] = result.kind === 'batch' ? result.items : [];
  if (record?.kind !== 'record') return false;
  const { topic, major, priority, ttlMs } = head;
  try {
    await broker.append([
      {
        ...{ topic, records: [{ major, data: record.data }], expect: { create: true }, priority },
        ...(ttlMs === undefined ? {} : { ttlMs }),
      },
      {
        ...{ topic: name, records: [{ major: true, data: '{"v":1,"released":true}' }] },
        ...{ expect: { epoch }, ifUnchanged: { epoch, offset: 0 }, supersedes: [[1, 1]] },
        ...{ ttlMs: RELEASED_TTL_MS, ttlMode: 'idle' },
      },
    ]);
    return true;
  } catch (error) {
    if (isBrokerError(error, 'conflict') || isBrokerError(error, 'epoch-changed')) return false;
    throw error;
  }
}

/** Removes the group's letters of one routing key. */
export async function removeDeadLetters(
  broker: Pick<Broker, 'list' | 'remove'>,
  group: string,
  key: string,
): Promise<void> {
  for (let after: LiteTopicName | undefined, isMore = true; isMore;) {
    const letters = parseTopicPattern(`dead/${group}/*/${key}`);
    const page = await broker.list(letters, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const { topic } of page.topics) await broker.remove(topic);
    after = page.after;
    isMore = after !== undefined;
  }
}

/** Undefined for a letter that was released or has ended, and for a topic that is no letter. */
async function readHead(
  broker: Pick<Broker, 'read'>,
  name: LiteTopicName,
): Promise<{ readonly head: Head; readonly epoch: string } | undefined> {
  if (!name.startsWith('dead/')) return undefined;
  const result = await broker.read(name, 'earliest', { majorOnly: true, maxRecords: 2 });
  if (result.kind !== 'batch' || result.items.length !== 1) return undefined;
  const [item] = result.items;
  if (item?.kind !== 'record') return undefined;
  const head = JSON.parse(item.data) as { readonly v: number } & Omit<Head, 'v'>;
  return head.v === 1 ? { head: { ...head, v: 1 }, epoch: result.epoch } : undefined;
}

function pattern(group: string): ReturnType<typeof parseTopicPattern> {
  return parseTopicPattern(`dead/${group}/*/*`);
}

/** The name of a very long group and routing key has a digest in place of the group. */
function letterName(group: string, topic: LiteTopicName, epoch: string, offset: number): LiteTopicName {
  const rest = `${digest(`${group} ${topic} ${epoch} ${offset}`)}/${routingKey(topic)}`;
  const name = `dead/${group}/${rest}`;
  return parseLiteTopicName(name.length > TOPIC_NAME_BYTES_MAX ? `dead/${digest(group)}/${rest}` : name);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, ID_CHARS);
}
