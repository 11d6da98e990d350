// Stored offsets: how far a named reader has got in a chat. Each is a short log of its own whose records
// supersede what their writer had read. Writers that race leave several records, and the furthest counts, so a
// cursor only moves forward inside an epoch, without a condition and without a retry.
import type { Broker } from '../broker/broker.ts';
import { encodePosition, parsePosition, type Position } from '../broker/position.ts';
import { SessionError } from './errors.ts';
import type { SessionRef } from './session-ref.ts';
import { chatTopic, cursorTopic } from './topic-names.ts';

const CURSOR_TTL_MS = 90 * 24 * 60 * 60 * 1000;

interface StoredCursor {
  readonly position: Position;
  /** Offset of the last record that was read. */
  readonly last: number;
}

export class Cursors {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  async read(ref: SessionRef, cursorId: string): Promise<Position | undefined> {
    return (await this.#read(ref, cursorId))?.position;
  }

  /** @throws SessionError cursor-conflict: of another epoch than the chat's, beyond its head, or behind what is stored */
  async store(ref: SessionRef, cursorId: string, position: Position): Promise<void> {
    const [chat] = await this.#broker.describe([chatTopic(ref)]);
    if (chat?.epoch !== position.epoch || position.offset >= chat.next) throw new SessionError('cursor-conflict');
    const stored = await this.#read(ref, cursorId);
    if (stored?.position.epoch === position.epoch && stored.position.offset > position.offset) throw new SessionError('cursor-conflict');
    await this.#broker.append([
      {
        topic: cursorTopic(ref, cursorId),
        records: [{ major: false, data: encodePosition(position) }],
        expect: { create: true },
        ...(stored === undefined ? {} : { supersedes: [[0, stored.last]] }),
        ttlMs: CURSOR_TTL_MS,
      },
    ]);
  }

  async #read(ref: SessionRef, cursorId: string): Promise<StoredCursor | undefined> {
    const result = await this.#broker.read(cursorTopic(ref, cursorId), 'earliest');
    if (result.kind !== 'batch') return undefined;
    let furthest: StoredCursor | undefined;
    for (const item of result.items) {
      const position = item.kind === 'record' ? parsePosition(item.data) : undefined;
      if (position === undefined || item.kind !== 'record') continue;
      const behind = furthest?.position.epoch === position.epoch && furthest.position.offset > position.offset;
      furthest = { position: behind && furthest !== undefined ? furthest.position : position, last: item.offset };
    }
    return furthest;
  }
}
