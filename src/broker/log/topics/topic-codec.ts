// Encodes and decodes a topic's entry in the index: a live topic with everything that the next write needs, or a
// tombstone that keeps the reason of its end. Pure.
import type { Appended, Priority } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import { ByteReader } from '../format/byte-reader.ts';
import type { ByteWriter } from '../format/byte-writer.ts';
import { decodeLife, encodeLife } from '../format/life-codec.ts';
import type { Delivered } from './group-progress.ts';
import type { Tombstone, TopicVersion } from './topic.ts';

const ALIVE = 1;
const TOMBSTONE = 2;
const LIFE = 4;
/** The version ends with the number of its damages. */
const DAMAGED = 8;
/** The entry ends with what `delivered` holds. */
const DELIVERED = 16;
/** After the version and what it has besides a plain TTL: `besideBytes`. */
const BESIDE = 32;
/** After these: the time before which groups get no record. */
const NOT_BEFORE = 64;
const PRIORITIES = ['high', 'normal', 'low'] as const satisfies readonly Priority[];
const NAME_BYTES_MAX = 1024;
const ANSWERS_MAX = 64;
const GROUPS_MAX = 65_536;

export interface TopicEntry {
  /** The id under which the index holds its chunks. */
  readonly id: number;
  readonly indexedAt: number;
  readonly bytes: number;
  readonly version: TopicVersion | undefined;
  readonly tombstone: Tombstone | undefined;
  readonly consumed: ReadonlyMap<string, number> | undefined;
  readonly delivered: ReadonlyMap<string, Delivered> | undefined;
}

export function encodeTopicEntry(into: ByteWriter, entry: TopicEntry): void {
  const { version, tombstone, delivered } = entry;
  const damages = version?.damages ?? 0;
  into.byte(
    (version === undefined ? 0 : ALIVE) |
      (tombstone === undefined ? 0 : TOMBSTONE) |
      (version?.life === undefined ? 0 : LIFE) |
      (damages === 0 ? 0 : DAMAGED) |
      (delivered === undefined ? 0 : DELIVERED) |
      ((version?.beside ?? 0) === 0 ? 0 : BESIDE) |
      (version?.notBefore === undefined ? 0 : NOT_BEFORE),
  );
  into.varint(entry.indexedAt);
  if (tombstone !== undefined) {
    into.byte(tombstone.reason === 'expired' ? 1 : 0);
    into.name(tombstone.epoch);
    into.varint(tombstone.next);
    into.varint(tombstone.at);
  }
  if (version === undefined) return;
  into.varint(entry.id);
  into.varint(entry.bytes);
  encodeVersion(into, version);
  if (version.life !== undefined) encodeLife(into, version.life);
  if (version.beside > 0) into.varint(version.beside);
  if (version.notBefore !== undefined) into.varint(version.notBefore);
  into.varint(entry.consumed?.size ?? 0);
  for (const [group, next] of entry.consumed ?? []) {
    into.name(group);
    into.varint(next);
  }
  if (delivered === undefined) return;
  into.varint(delivered.size);
  for (const [group, { offset, attempts, notBefore }] of delivered) {
    into.name(group);
    for (const value of [offset, attempts, notBefore]) into.varint(value);
  }
}

function encodeVersion(into: ByteWriter, version: TopicVersion): void {
  const { state, base, era, damages, ttlMs, expiresAt, priority } = version;
  into.name(base);
  into.varint(era);
  into.varint(state.next);
  into.varint(state.lastMajor + 1);
  into.varint(state.fence + 1);
  into.varint(state.lastSeq);
  into.varint(state.lastAnswers.length);
  for (const answer of state.lastAnswers) {
    into.name(answer.epoch);
    into.varint(answer.first);
    into.varint(answer.next);
  }
  into.varint(ttlMs ?? 0);
  into.varint(expiresAt ?? 0);
  into.byte(PRIORITIES.indexOf(priority));
  if (damages > 0) into.varint(damages);
}

/** Makes the present epoch from a base, the era in which the topic was made, and the number of its damages. */
type EpochOf = (base: string, era: number, damages: number) => string;

/** @throws BrokerError corrupt */
export function decodeTopicEntry(bytes: Buffer, epochOf: EpochOf): TopicEntry {
  const reader = new ByteReader(bytes);
  const kind = reader.byte();
  const indexedAt = reader.varint();
  const tombstone = (kind & TOMBSTONE) === 0 ? undefined : decodeTombstone(reader);
  if ((kind & ALIVE) === 0)
    return {
      ...{ id: 0, indexedAt, bytes: 0, version: undefined },
      tombstone,
      consumed: undefined,
      delivered: undefined,
    };
  const [id, size] = [reader.varint(), reader.varint()];
  const plain = decodeVersion(reader, (kind & DAMAGED) !== 0, epochOf);
  const alive = (kind & LIFE) === 0 ? plain : { ...plain, life: decodeLife(reader) };
  const counted = (kind & BESIDE) === 0 ? alive : { ...alive, beside: reader.varint() };
  const version = (kind & NOT_BEFORE) === 0 ? counted : { ...counted, notBefore: reader.varint() };
  const consumed = new Map<string, number>();
  for (let left = reader.count(GROUPS_MAX); left > 0; left--)
    consumed.set(reader.name(NAME_BYTES_MAX), reader.varint());
  const delivered = (kind & DELIVERED) === 0 ? undefined : decodeDelivered(reader);
  return {
    ...{ id, indexedAt, bytes: size, version, tombstone },
    consumed: consumed.size === 0 ? undefined : consumed,
    delivered,
  };
}

function decodeDelivered(reader: ByteReader): ReadonlyMap<string, Delivered> {
  const delivered = new Map<string, Delivered>();
  for (let left = reader.count(GROUPS_MAX); left > 0; left--) {
    const group = reader.name(NAME_BYTES_MAX);
    delivered.set(group, { offset: reader.varint(), attempts: reader.varint(), notBefore: reader.varint() });
  }
  return delivered;
}

function decodeTombstone(reader: ByteReader): Tombstone {
  const reason = reader.byte() === 1 ? 'expired' : 'removed';
  return { reason, epoch: reader.name(NAME_BYTES_MAX), next: reader.varint(), at: reader.varint() };
}

function decodeVersion(reader: ByteReader, isDamaged: boolean, epochOf: EpochOf): TopicVersion {
  const [base, era] = [reader.name(NAME_BYTES_MAX), reader.varint()];
  const [next, lastMajor] = [reader.varint(), reader.varint() - 1];
  const [fence, lastSeq] = [reader.varint() - 1, reader.varint()];
  const lastAnswers = Array.from({ length: reader.count(ANSWERS_MAX) }, (): Appended => {
    return { epoch: reader.name(NAME_BYTES_MAX), first: reader.varint(), next: reader.varint() };
  });
  const [ttlMs, expiresAt] = [reader.varint(), reader.varint()];
  const priority = PRIORITIES[reader.byte()];
  if (priority === undefined) throw new BrokerError('corrupt', 'an index entry has no priority');
  const damages = isDamaged ? reader.varint() : 0;
  return {
    state: { epoch: epochOf(base, era, damages), next, lastMajor, fence, lastSeq, lastAnswers },
    base,
    era,
    damages,
    priority,
    life: undefined,
    beside: 0,
    notBefore: undefined,
    ttlMs: ttlMs === 0 ? undefined : ttlMs,
    expiresAt: expiresAt === 0 ? undefined : expiresAt,
  };
}
