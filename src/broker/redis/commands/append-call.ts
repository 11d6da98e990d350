// What a node sends to the append script (append.ts), and what it makes of the reply.
import type { AccountOf } from '../../accounts.ts';
import type { Appended, TopicWrite } from '../../broker.ts';
import type { BrokerErrorCode } from '../../errors.ts';
import { BrokerError } from '../../errors.ts';
import type { RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';

/** The codes of the script's refusals. */
const REFUSALS: ReadonlySet<string> = new Set<BrokerErrorCode>([
  'epoch-changed',
  'conflict',
  'fenced',
  'out-of-sequence',
  'invalid-append',
  'quota-reached',
  'unavailable',
]);

/** For the write that names a quota: the home's ticket, and the version of the partition's figures in the home. */
export interface Charge {
  readonly ticket: string;
  readonly known: string;
}

/** Checks the write by every rule and writes nothing: answers a retry, and otherwise refuses with `quota-reached`. */
export const DRY_CHARGE: Charge = { ticket: 'dry', known: '0' };

/** What an account holds in one partition. */
export interface PartitionFigures {
  readonly topics: string;
  readonly bytes: string;
  readonly version: string;
  /** The tickets that are in these figures and that the home may not have removed yet, separated by spaces. */
  readonly tickets: string;
}

export interface AppendRules {
  /** Every acknowledged write survives a restart of the server. */
  readonly isKept: boolean;
  readonly newEpoch: () => string;
  /** Undefined: no topic counts for an account. */
  readonly accountOf: AccountOf | undefined;
}

export function encodeAppend(
  writes: readonly TopicWrite[],
  { isKept, newEpoch, accountOf }: AppendRules,
  charge?: Charge,
): (string | number)[] {
  const args: (string | number)[] = [isKept ? '1' : '0'];
  for (const write of writes) {
    // Only a write that can make a topic says for which account it counts.
    const account = 'epoch' in write.expect ? undefined : accountOf?.(write.topic);
    args.push(write.topic, headerOf(write, newEpoch) + chargeOf(write, account, charge));
    for (const { data } of write.records) args.push(data);
  }
  return args;
}

function headerOf(write: TopicWrite, newEpoch: () => string): string {
  const { expect, ifUnchanged, fence, takeFence, ttlMs, ttlMode, hardMaxMs, priority, delayMs, supersedes } = write;
  const classed = delayMs === undefined ? (priority ?? '-') : `${priority ?? ''}+${delayMs}`;
  const expected =
    'epoch' in expect ? `epoch ${wordOf(expect.epoch)}` : `${'absent' in expect ? 'absent' : 'create'} ${newEpoch()}`;
  const condition = ifUnchanged === undefined ? '- -' : `${wordOf(ifUnchanged.epoch)} ${ifUnchanged.offset}`;
  const fenced = fence === undefined ? '- -' : `${fence.fence} ${fence.seq}`;
  const ranges =
    supersedes === undefined || supersedes.length === 0
      ? '-'
      : supersedes.map(([from, to]) => `${from}-${to}`).join(',');
  return `${expected} ${condition} ${fenced} ${takeFence === true ? 1 : 0} ${ttlMs ?? '-'} ${ttlMode?.[0] ?? '-'} ${hardMaxMs ?? '-'} ${classed} ${kindsOf(write)} ${ranges}`;
}

function chargeOf({ besideBytes, quota }: TopicWrite, account: string | undefined, charge?: Charge): string {
  const given = quota === undefined ? undefined : charge;
  if (account === undefined && besideBytes === undefined && given === undefined) return '';
  return `;${account ?? '~'},${besideBytes ?? '~'},${given?.ticket ?? '~'},${given?.known ?? '~'}`;
}

function kindsOf({ records }: TopicWrite): string {
  if (records.length === 0) return '-';
  let kinds = '';
  for (const { major } of records) kinds += major ? 'M' : 'm';
  return kinds;
}

/** Replaces an epoch with white space, which no topic has, by '?', because a space would break the header. */
function wordOf(epoch: string): string {
  return /^\S+$/.test(epoch) ? epoch : '?';
}

export interface ChargedAppend {
  readonly answers: readonly Appended[];
  /** Undefined for a retry, which counted before. */
  readonly figures: PartitionFigures | undefined;
}

/** Of an append with a ticket. @throws as decodeAppend */
export function decodeCharged(reply: RedisReply): ChargedAppend {
  const [word, answers, ...figures] = Array.isArray(reply) ? reply.map(String) : [];
  if (word !== 'counted' || answers === undefined) return { answers: decodeAppend(reply), figures: undefined };
  return { answers: decodeAppend(answers), figures: decodeFigures(figures) };
}

/** @throws BrokerError corrupt */
export function decodeFigures(reply: RedisReply): PartitionFigures {
  const [topics, bytes, version, tickets] = Array.isArray(reply) ? reply.map(String) : [];
  if (topics === undefined || bytes === undefined || version === undefined || tickets === undefined)
    throw wrongReply('figures of an account');
  return { topics, bytes, version, tickets };
}

/** @throws BrokerError with the code of the refusal; corrupt */
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
