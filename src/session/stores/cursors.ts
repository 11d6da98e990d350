// Cursors: the stored positions of named readers of a chat. All cursors of a chat are in one short log, which is
// removed with the chat. Each record names its cursor and its user, and supersedes the earlier records of the same
// cursor. Writers that race leave several records, and the furthest counts, so a cursor only moves forward inside an
// epoch, without a condition. A record counts only for its own user: an id can have another owner later, who must not
// learn from it.
import type { Broker } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { encodePosition, parsePosition, type Position } from '../../broker/position.ts';
import { SessionError } from '../errors.ts';
import { idOf, userDigest, type Principal, type SessionRef } from '../session-ref.ts';
import { chatTopic, cursorsTopic, earlierCursorTopic } from '../topic-names.ts';

/** The least time that a cursor is kept after any cursor of its chat was stored. In a chat with a longer TTL it is kept
 *  for that time. */
const CURSOR_TTL_MS = 90 * 24 * 60 * 60 * 1000;
/** Cursors of one user in one chat. When another one is stored, the cursor that has not moved for the longest time is
 *  dropped. */
export const CURSORS_PER_CHAT_MAX = 64;
/** Tries of one store. Each of them found another epoch of the log of cursors. */
const STORE_ATTEMPTS_MAX = 4;

interface CursorRecord {
  readonly offset: number;
  readonly cursorId: string;
  readonly user: string;
  readonly position: Position;
}

interface StoredCursors {
  /** Undefined: none was stored yet. */
  readonly epoch: string | undefined;
  /** In the order in which they were stored. */
  readonly records: readonly CursorRecord[];
  /** The last offset that was read, -1 for none. */
  readonly last: number;
}

export class Cursors {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  async read(principal: Principal, ref: SessionRef, cursorId: string): Promise<Position | undefined> {
    const stored = await this.#readAll(ref);
    return furthest(recordsOf(stored, principal, cursorId))?.position ?? (await this.#readEarlier(ref, cursorId));
  }

  /** @throws SessionError cursor-conflict: of another epoch than the chat's, beyond its head, or behind what is
   *  stored */
  async store(principal: Principal, ref: SessionRef, cursorId: string, position: Position): Promise<void> {
    const [chat] = await this.#broker.describe([chatTopic(ref)]);
    if (chat?.epoch !== position.epoch || position.offset >= chat.next) throw new SessionError('cursor-conflict');
    for (let attempt = 1; attempt <= STORE_ATTEMPTS_MAX; attempt += 1) {
      const stored = await this.#readAll(ref);
      const before =
        furthest(recordsOf(stored, principal, cursorId))?.position ?? (await this.#readEarlier(ref, cursorId));
      if (before?.epoch === position.epoch && before.offset > position.offset)
        throw new SessionError('cursor-conflict');
      const ttlMs = Math.max(CURSOR_TTL_MS, chat.ttlMs ?? 0);
      if (await this.#append(principal, ref, stored, { cursorId, position, ttlMs })) {
        await this.#mustHaveChat(ref);
        return;
      }
    }
    throw new SessionError('contended');
  }

  /** The removal of a chat removes its cursors. A cursor that was stored after that would stay for months. */
  async #mustHaveChat(ref: SessionRef): Promise<void> {
    const [chat] = await this.#broker.describe([chatTopic(ref)]);
    if (chat !== undefined) return;
    await this.#broker.remove(cursorsTopic(ref));
    throw new SessionError('cursor-conflict');
  }

  /** False if the log of cursors is in another epoch by now. */
  async #append(
    principal: Principal,
    ref: SessionRef,
    stored: StoredCursors,
    { cursorId, position, ttlMs }: Pick<CursorRecord, 'cursorId' | 'position'> & { readonly ttlMs: number },
  ): Promise<boolean> {
    const user = userDigest(principal.user);
    const supersedes = rangesWithout(keptRecords(stored, user, cursorId), stored.last);
    const data = JSON.stringify({ v: 1, cursor: cursorId, user, position: encodePosition(position) });
    try {
      await this.#broker.append([
        {
          topic: cursorsTopic(ref),
          records: [{ major: false, data }],
          expect: stored.epoch === undefined ? { create: true } : { epoch: stored.epoch },
          ...(supersedes.length === 0 ? {} : { supersedes }),
          ttlMs,
        },
      ]);
      return true;
    } catch (error) {
      if (isBrokerError(error, 'epoch-changed')) return false;
      throw error;
    }
  }

  async #readAll(ref: SessionRef): Promise<StoredCursors> {
    const topic = cursorsTopic(ref);
    const records: CursorRecord[] = [];
    let epoch: string | undefined;
    let last = -1;
    for (;;) {
      const result = await this.#broker.read(topic, epoch === undefined ? 'earliest' : { epoch, offset: last + 1 });
      if (result.kind !== 'batch') return { epoch: undefined, records: [], last: -1 };
      epoch = result.epoch;
      last = result.next - 1;
      for (const item of result.items) {
        const record = item.kind === 'record' ? decodeRecord(item.offset, item.data) : undefined;
        if (record !== undefined) records.push(record);
      }
      if (result.end) return { epoch, records, last };
    }
  }

  /** A record of an earlier version names no user. An epoch of a chat has one owner, so the record counts if it names
   *  the chat's epoch. */
  async #readEarlier(ref: SessionRef, cursorId: string): Promise<Position | undefined> {
    // Earlier versions had no sessions that belong to one user.
    if (idOf(ref) !== ref.sessionId) return undefined;
    const result = await this.#broker.read(earlierCursorTopic(ref, cursorId), 'earliest');
    if (result.kind !== 'batch') return undefined;
    const [chat] = await this.#broker.describe([chatTopic(ref)]);
    const positions = result.items.flatMap((item) => (item.kind === 'record' ? [parsePosition(item.data)] : []));
    const own = positions.filter((position) => position !== undefined).filter(({ epoch }) => epoch === chat?.epoch);
    return furthest(own.map((position) => ({ position })))?.position;
  }
}

function recordsOf({ records }: StoredCursors, { user }: Principal, cursorId: string): readonly CursorRecord[] {
  const digest = userDigest(user);
  return records.filter((record) => record.cursorId === cursorId && record.user === digest);
}

/** The furthest position in the last epoch that was stored. */
function furthest<T extends { readonly position: Position }>(records: readonly T[]): T | undefined {
  let found: T | undefined;
  for (const record of records) {
    const isBehind = found?.position.epoch === record.position.epoch && found.position.offset > record.position.offset;
    if (!isBehind) found = record;
  }
  return found;
}

/** The user's cursors other than `cursorId` that moved last: the furthest record of each, in order of offset. */
function keptRecords({ records }: StoredCursors, user: string, cursorId: string): readonly CursorRecord[] {
  const others = records.filter((record) => record.user === user && record.cursorId !== cursorId);
  const ids = [...new Set(others.map((record) => record.cursorId))];
  const kept = ids.flatMap((id) => furthest(others.filter((record) => record.cursorId === id)) ?? []);
  return kept.toSorted((a, b) => a.offset - b.offset).slice(-(CURSORS_PER_CHAT_MAX - 1));
}

/** Returns the ranges of offsets that an append supersedes: all offsets up to `last`, except those of the kept records.
 *  The ranges include the holes that earlier appends left. So neighbouring holes become one hole, and the number of
 *  holes does not grow with every append. */
function rangesWithout(kept: readonly CursorRecord[], last: number): (readonly [from: number, to: number])[] {
  const ranges: (readonly [from: number, to: number])[] = [];
  let from = 0;
  for (const { offset } of kept) {
    if (offset > from) ranges.push([from, offset - 1]);
    from = offset + 1;
  }
  if (last >= from) ranges.push([from, last]);
  return ranges;
}

/** Undefined for a record of a version this code does not know. */
function decodeRecord(offset: number, data: string): CursorRecord | undefined {
  const {
    v,
    cursor: cursorId,
    user,
    position: text,
  } = JSON.parse(data) as { v: number; cursor: string; user: string; position: string };
  const position = parsePosition(text);
  return v === 1 && position !== undefined ? { offset, cursorId, user, position } : undefined;
}
