// The arguments and the answer of the append script (append-script.ts), between text and the broker's own words.
import type { Appended, TopicWrite } from '../../broker.ts';
import type { BrokerErrorCode } from '../../errors.ts';
import { BrokerError } from '../../errors.ts';
import type { RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';

/** What the script refuses with. */
const REFUSALS: ReadonlySet<string> = new Set<BrokerErrorCode>([
  'epoch-changed',
  'conflict',
  'fenced',
  'out-of-sequence',
  'invalid-append',
]);

/** `isKept`: what is acknowledged survives a restart of the server. */
export function encodeAppend(
  writes: readonly TopicWrite[],
  isKept: boolean,
  newEpoch: () => string,
): (string | number)[] {
  const args: (string | number)[] = [isKept ? '1' : '0'];
  for (const write of writes) {
    args.push(write.topic, headerOf(write, newEpoch));
    for (const { data } of write.records) args.push(data);
  }
  return args;
}

function headerOf(write: TopicWrite, newEpoch: () => string): string {
  const { expect, ifUnchanged, fence, takeFence, ttlMs, priority, supersedes } = write;
  const expected =
    'epoch' in expect ? `epoch ${wordOf(expect.epoch)}` : `${'absent' in expect ? 'absent' : 'create'} ${newEpoch()}`;
  const condition = ifUnchanged === undefined ? '- -' : `${wordOf(ifUnchanged.epoch)} ${ifUnchanged.offset}`;
  const fenced = fence === undefined ? '- -' : `${fence.fence} ${fence.seq}`;
  const ranges =
    supersedes === undefined || supersedes.length === 0
      ? '-'
      : supersedes.map(([from, to]) => `${from}-${to}`).join(',');
  return `${expected} ${condition} ${fenced} ${takeFence === true ? 1 : 0} ${ttlMs ?? '-'} ${priority ?? '-'} ${kindsOf(write)} ${ranges}`;
}

function kindsOf({ records }: TopicWrite): string {
  if (records.length === 0) return '-';
  let kinds = '';
  for (const { major } of records) kinds += major ? 'M' : 'm';
  return kinds;
}

/** An epoch that no topic has stays one: it must only not break the line. */
function wordOf(epoch: string): string {
  return /^\S+$/.test(epoch) ? epoch : '?';
}

/** @throws BrokerError what the script refused with; corrupt */
export function decodeAppend(reply: RedisReply): readonly Appended[] {
  if (typeof reply === 'string') return reply.split(';').map(appendedOf);
  if (Array.isArray(reply)) {
    const [code, message] = reply as readonly RedisReply[];
    if (typeof code === 'string' && typeof message === 'string' && REFUSALS.has(code))
      throw new BrokerError(code as BrokerErrorCode, message);
  }
  throw wrongReply('append');
}

function appendedOf(text: string): Appended {
  const comma = text.indexOf(',');
  const second = text.indexOf(',', comma + 1);
  const appended = {
    epoch: text.slice(0, comma),
    first: Number(text.slice(comma + 1, second)),
    next: Number(text.slice(second + 1)),
  };
  if (comma < 1 || !Number.isSafeInteger(appended.first) || !Number.isSafeInteger(appended.next))
    throw wrongReply('append');
  return appended;
}
