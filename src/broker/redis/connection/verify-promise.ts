// Verifies that a server keeps what the operator was promised, before anything is written to it. A server that cannot
// keep it is refused, and the error names the setting to change. The engine never falls back to less silently.
import type { Redis } from 'ioredis';
import { BrokerError } from '../../errors.ts';
import { isReplyError } from './redis-errors.ts';
import type { Replication } from './replica-wait.ts';

/** What an acknowledged record survives. `memory`: nothing that ends the server. `everysec`: the server, not the last
 *  seconds of the machine. `always`: both. `replicated`: the loss of the master, as far as a fail-over chooses a
 *  replica that has it. */
export type RedisPromise = 'memory' | 'everysec' | 'always' | { readonly replicated: number };

export const REPLICAS_MAX = 8;

/** Of the server, as an operator says it: whoever may ask for it (CONFIG GET) may also ask for the server's passwords.
 *  */
export type DeclaredAppendfsync = 'always' | 'everysec';

export interface Promised {
  readonly promise: RedisPromise;
  /** Undefined: read from the server with CONFIG GET. */
  readonly appendfsync?: DeclaredAppendfsync | undefined;
}

/** The replicas that an append must reach before it counts: undefined unless replicas are promised.
 *  @throws BrokerError invalid-config, and what the commands throw */
export async function verifyPromise(
  redis: Redis,
  { promise, appendfsync }: Promised,
  where: string,
): Promise<Replication | undefined> {
  const info = await redis.info();
  const refuse = (what: string): never => {
    throw new BrokerError('invalid-config', `Redis at ${where}: ${what}`);
  };
  const version = fieldOf(info, 'redis_version');
  if (!isAtLeast(version, 7, 0)) refuse(`version ${version}, and this needs 7.0 or later`);
  if (fieldOf(info, 'role') !== 'master') refuse('it is a replica: name its master');
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy !== 'noeviction')
    refuse(`it may throw chats away to make room: set maxmemory-policy to noeviction (it is ${policy})`);
  if (typeof promise === 'object') return verifyReplicas(redis, promise.replicated, info, refuse);
  if (promise === 'memory') return undefined;
  if (fieldOf(info, 'aof_enabled') !== '1')
    refuse(`it keeps no file of what is written: set appendonly to yes, or promise memory instead of ${promise}`);
  verifyFlushes(appendfsync ?? (await askAppendfsync(redis, where)), promise, refuse);
  return undefined;
}

function verifyFlushes(fsync: string, promise: 'everysec' | 'always', refuse: (what: string) => never): void {
  const keeps = promise === 'always' ? fsync === 'always' : fsync !== 'no';
  if (!keeps)
    refuse(
      `appendfsync is ${fsync}: set it to ${promise}, or promise ${fsync === 'no' ? 'memory' : fsync} instead of ${promise}`,
    );
}

async function verifyReplicas(
  redis: Redis,
  wanted: number,
  info: string,
  refuse: (what: string) => never,
): Promise<Replication> {
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > REPLICAS_MAX)
    throw new BrokerError('invalid-config', `replicas are from 1 to ${REPLICAS_MAX}`);
  const connected = Number(fieldOf(info, 'connected_slaves'));
  if (connected < wanted) refuse(`${connected} replicas are connected: ${wanted} are promised`);
  const hasFile = fieldOf(info, 'aof_enabled') === '1';
  if (!hasFile || !isAtLeast(fieldOf(info, 'redis_version'), 7, 2)) return { replicas: wanted, hasWaitAof: false };
  // Replicas without an append-only file would never confirm WAITAOF.
  const [, files] = (await redis.call('WAITAOF', 1, wanted, 1_000)) as [number, number];
  return { replicas: wanted, hasWaitAof: files >= wanted };
}

/** The one setting that INFO does not show. */
async function askAppendfsync(redis: Redis, where: string): Promise<string> {
  try {
    const [, value] = (await redis.config('GET', 'appendfsync')) as [string, string];
    return value;
  } catch (error) {
    // A broken connection says nothing about the server.
    if (!isReplyError(error)) throw error;
    throw new BrokerError(
      'invalid-config',
      `Redis at ${where} does not tell its appendfsync to this user: say what it is with HOLDLINE_REDIS_APPENDFSYNC (appendfsync in the worker SDK), or allow CONFIG GET (+config|get), which shows the server's passwords too`,
      { cause: error },
    );
  }
}

/** What an acknowledged record survives, in one line for an operator. */
export function describePromise({ promise, appendfsync }: Promised): string {
  const isTold = appendfsync !== undefined && (promise === 'always' || promise === 'everysec');
  return whatSurvives(promise) + (isTold ? ' (appendfsync is as this node was told, the server was not asked)' : '');
}

function whatSurvives(promise: RedisPromise): string {
  if (promise === 'memory') return 'redis, memory: survives this process, and nothing that ends the Redis server';
  if (promise === 'everysec')
    return 'redis, appendfsync everysec: survives this process and a restart of Redis; a power cut may cost the last two seconds';
  if (promise === 'always')
    return 'redis, appendfsync always: survives this process, Redis and a power cut, if the device honours flushes';
  return `redis, ${promise.replicated} ${promise.replicated === 1 ? 'replica' : 'replicas'}: survives the loss of the master, if a replica that has it takes over`;
}

function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = version.split('.').map(Number);
  return first > major || (first === major && second >= minor);
}
