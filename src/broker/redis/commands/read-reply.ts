// What the read script answers, in the broker's words.
import type { LogItem, ReadResult, ResetReason } from '../../broker.ts';
import type { RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';

export interface RedisRead {
  readonly result: ReadResult;
  /** Of a topic that is alive and has a TTL: ms since 1970. */
  readonly expiresAt: number | undefined;
}

const REASONS: ReadonlySet<string> = new Set<ResetReason>([
  'expired',
  'removed',
  'trimmed',
  'epoch-changed',
  'ahead-of-log',
  'undeclared-hole',
]);
/** Before the first item. */
const BATCH_HEAD = 6;

/** @throws BrokerError corrupt */
export function decodeRead(reply: RedisReply): RedisRead {
  if (!Array.isArray(reply)) throw wrongReply('read');
  const parts = reply as readonly RedisReply[];
  if (parts[0] === 'batch') return decodeBatch(parts);
  if (parts[0] === 'missing') return { result: { kind: 'missing' }, expiresAt: undefined };
  const [kind, reason, epoch, next] = parts;
  if (
    kind !== 'reset' ||
    typeof reason !== 'string' ||
    !REASONS.has(reason) ||
    typeof epoch !== 'string' ||
    typeof next !== 'number'
  )
    throw wrongReply('read');
  return { result: { kind: 'reset', reason: reason as ResetReason, epoch, earliest: 0, next }, expiresAt: undefined };
}

function decodeBatch(parts: readonly RedisReply[]): RedisRead {
  const [, epoch, next, end, , expires] = parts;
  if (typeof epoch !== 'string' || typeof next !== 'number' || typeof expires !== 'string') throw wrongReply('read');
  const items = new Array<LogItem>((parts.length - BATCH_HEAD) / 3);
  for (let i = 0; i < items.length; i++) items[i] = decodeItem(parts, BATCH_HEAD + 3 * i);
  return {
    result: { kind: 'batch', epoch, items, next, end: end === 1 },
    expiresAt: expires === '-' ? undefined : Number(expires),
  };
}

function decodeItem(parts: readonly RedisReply[], at: number): LogItem {
  const [first, second, third] = [parts[at], parts[at + 1], parts[at + 2]];
  if (typeof first !== 'number') throw wrongReply('read');
  if (typeof second === 'number' && typeof third === 'number')
    return { kind: 'hole', from: first, to: second, by: third };
  if (typeof third !== 'string') throw wrongReply('read');
  return { kind: 'record', offset: first, major: second === 'M', data: third };
}
