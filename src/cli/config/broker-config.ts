// The storage and what it must guarantee: HOLDLINE_BROKER, HOLDLINE_FSYNC, HOLDLINE_ERASE_WITHIN and HOLDLINE_PROMISE;
// and whether the clock of the machine is trusted: HOLDLINE_CLOCK.
import {
  REPLICAS_MAX,
  type RedisPromise,
  type DeclaredAppendfsync,
} from '../../broker/redis/connection/verify-promise.ts';
import { isRedisUrl, parseRedisUrl, REDIS_FORMS, type RedisLocation } from '../../broker/redis/connection/redis-url.ts';
import { parseDuration } from './duration.ts';
import { EnvironmentReader, type Environment } from './environment.ts';

export type FsyncConfig =
  { readonly mode: 'always' } | { readonly mode: 'interval'; readonly ms: number } | { readonly mode: 'os' };

export interface RedisConfig extends RedisLocation {
  readonly engine: 'redis';
  /** The engine verifies at its start that the server guarantees this. */
  readonly promise: RedisPromise;
  /** Undefined: the engine reads it from the server. */
  readonly appendfsync: DeclaredAppendfsync | undefined;
  readonly isClockTrusted: boolean;
}

export type BrokerConfig =
  | { readonly engine: 'memory' }
  | {
      readonly engine: 'log';
      readonly folder: string;
      readonly fsync: FsyncConfig;
      /** Infinity: text is erased whenever its room comes back. */
      readonly eraseWithinMs: number;
      readonly isClockTrusted: boolean;
    }
  | RedisConfig;

export const BROKER_SETTINGS = [
  'HOLDLINE_BROKER',
  'HOLDLINE_FSYNC',
  'HOLDLINE_ERASE_WITHIN',
  'HOLDLINE_PROMISE',
  'HOLDLINE_REDIS_APPENDFSYNC',
] as const;
const FORMS = `log:<folder>, memory:, ${REDIS_FORMS}`;

/** Below it, a checkpoint would follow every few appends. */
const ERASE_WITHIN_SECONDS_MIN = 10;
const ERASE_WITHIN_SECONDS_MAX = 365 * 24 * 60 * 60;
const ERASE_WITHIN_DEFAULT = '24h';

/** For commands that use only the storage. @throws UsageError */
export function readBrokerConfig(env: Environment = process.env): BrokerConfig {
  const read = new EnvironmentReader(env);
  const broker = readBroker(read);
  read.checkNames(BROKER_SETTINGS);
  read.throwFaults();
  return broker;
}

export function readBroker(read: EnvironmentReader): BrokerConfig {
  const url = read.text('HOLDLINE_BROKER') ?? 'log:./data';
  if (isRedisUrl(url)) return readRedis(read, url);
  if (read.text('HOLDLINE_PROMISE') !== undefined) {
    read.fault('HOLDLINE_PROMISE', 'is what a Redis server must keep; for the embedded log set HOLDLINE_FSYNC');
  }
  if (read.text('HOLDLINE_REDIS_APPENDFSYNC') !== undefined)
    read.fault('HOLDLINE_REDIS_APPENDFSYNC', 'says what a Redis server is set to, and the storage is none');
  if (url === 'memory:') {
    refuseEraseWithin(read, 'memory holds no file');
    return { engine: 'memory' };
  }
  const fsync = readFsync(read);
  const eraseWithinMs = readEraseWithin(read);
  if (url.startsWith('log:') && url.length > 'log:'.length)
    return {
      engine: 'log',
      folder: url.slice('log:'.length),
      fsync,
      eraseWithinMs,
      isClockTrusted: isClockTrusted(read),
    };
  read.fault('HOLDLINE_BROKER', `must be ${FORMS}`);
  return { engine: 'memory' };
}

/** Names the storage for an operator, without its password. */
export function nameBroker(config: BrokerConfig): string {
  if (config.engine === 'memory') return 'memory:';
  if (config.engine === 'log') return `log:${config.folder}`;
  const { nodes, sentinel } = config;
  const places = (sentinel?.urls ?? nodes).map((url) => `${new URL(url).protocol}//${new URL(url).host}`);
  return sentinel === undefined ? places.join(', ') : `${sentinel.name} at ${places.join(', ')}`;
}

function readFsync(read: EnvironmentReader): FsyncConfig {
  const text = read.text('HOLDLINE_FSYNC') ?? 'always';
  if (text === 'always' || text === 'os') return { mode: text };
  const ms = /^interval:(\d{1,6})$/.exec(text)?.[1];
  if (ms !== undefined && Number(ms) > 0) return { mode: 'interval', ms: Number(ms) };
  read.fault('HOLDLINE_FSYNC', 'must be always, interval:<ms> or os');
  return { mode: 'always' };
}

function readEraseWithin(read: EnvironmentReader): number {
  const text = read.text('HOLDLINE_ERASE_WITHIN') ?? ERASE_WITHIN_DEFAULT;
  if (text === 'off') return Infinity;
  const seconds = parseDuration(text, ERASE_WITHIN_SECONDS_MAX) ?? 0;
  if (seconds < ERASE_WITHIN_SECONDS_MIN)
    read.fault(
      'HOLDLINE_ERASE_WITHIN',
      `must be a time from ${ERASE_WITHIN_SECONDS_MIN}s to 365d, such as 24h, or off`,
    );
  return seconds * 1000;
}

function refuseEraseWithin(read: EnvironmentReader, why: string): void {
  if (read.text('HOLDLINE_ERASE_WITHIN') !== undefined)
    read.fault('HOLDLINE_ERASE_WITHIN', `is for the embedded log: ${why}`);
}

function readRedis(read: EnvironmentReader, url: string): RedisConfig {
  if (read.text('HOLDLINE_FSYNC') !== undefined) {
    read.fault(
      'HOLDLINE_FSYNC',
      'is for the embedded log: a Redis server flushes as its own appendfsync says, and HOLDLINE_PROMISE is what it must keep',
    );
  }
  refuseEraseWithin(read, 'a Redis server keeps deleted text in its own file until it rewrites that file');
  return {
    engine: 'redis',
    ...readPlace(read, url),
    promise: readPromise(read),
    appendfsync: readAppendfsync(read),
    isClockTrusted: isClockTrusted(read),
  };
}

function isClockTrusted(read: EnvironmentReader): boolean {
  return read.oneOf('HOLDLINE_CLOCK', ['check', 'trust'], 'check') === 'trust';
}

function readAppendfsync(read: EnvironmentReader): DeclaredAppendfsync | undefined {
  const text = read.text('HOLDLINE_REDIS_APPENDFSYNC');
  if (text === undefined || text === 'always' || text === 'everysec') return text;
  read.fault('HOLDLINE_REDIS_APPENDFSYNC', 'must be always or everysec, as the server is set');
  return undefined;
}

function readPlace(read: EnvironmentReader, url: string): RedisLocation {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    read.fault('HOLDLINE_BROKER', error.message);
    return { nodes: [], cluster: false };
  }
}

function readPromise(read: EnvironmentReader): RedisPromise {
  const text = read.text('HOLDLINE_PROMISE') ?? 'always';
  if (text === 'memory' || text === 'everysec' || text === 'always') return text;
  const replicated = Number(/^replicated:(\d)$/.exec(text)?.[1]);
  if (replicated >= 1 && replicated <= REPLICAS_MAX) return { replicated };
  read.fault('HOLDLINE_PROMISE', `must be memory, everysec, always or replicated:<replicas, 1 to ${REPLICAS_MAX}>`);
  return 'always';
}
