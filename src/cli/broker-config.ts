// Which storage the environment names, and what it must promise: HOLDLINE_BROKER, HOLDLINE_FSYNC and HOLDLINE_PROMISE.
import { REPLICAS_MAX, type RedisPromise } from '../broker/redis/verify-promise.ts';
import type { EnvironmentReader } from './environment.ts';

export type FsyncConfig = { readonly mode: 'always' } | { readonly mode: 'interval'; readonly ms: number } | { readonly mode: 'os' };

export interface RedisConfig {
  readonly engine: 'redis';
  /** redis:// or rediss:// URLs: one server, or the seeds of a cluster. Empty where sentinels say. */
  readonly nodes: readonly string[];
  readonly cluster: boolean;
  readonly sentinel?: { readonly name: string; readonly urls: readonly string[] };
  /** The server is asked whether it keeps that. */
  readonly promise: RedisPromise;
}

export type BrokerConfig =
  | { readonly engine: 'memory' }
  | { readonly engine: 'log'; readonly folder: string; readonly fsync: FsyncConfig }
  | RedisConfig;

/** Protocol, kind, places, what stands behind them. */
const REDIS_URL = /^(rediss?)(-cluster|-sentinel)?:\/\/([^/]*)(?:\/(.*))?$/;
const FORMS = 'log:<folder>, memory:, redis://<host>:<port>, redis-cluster://<host>:<port>,… or redis-sentinel://<host>:<port>,…/<name> (rediss… for TLS)';

export function readBroker(read: EnvironmentReader): BrokerConfig {
  const url = read.text('HOLDLINE_BROKER') ?? 'log:./data';
  const redis = REDIS_URL.exec(url);
  if (redis !== null) return readRedis(read, redis);
  if (read.text('HOLDLINE_PROMISE') !== undefined) {
    read.fault('HOLDLINE_PROMISE', 'is what a Redis server must keep; the embedded log is told with HOLDLINE_FSYNC');
  }
  if (url === 'memory:') return { engine: 'memory' };
  const fsync = readFsync(read);
  if (url.startsWith('log:') && url.length > 'log:'.length) return { engine: 'log', folder: url.slice('log:'.length), fsync };
  read.fault('HOLDLINE_BROKER', `must be ${FORMS}`);
  return { engine: 'memory' };
}

/** For an operator: where the storage is, and never its password. */
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

function readRedis(read: EnvironmentReader, [, protocol = '', kind, places = '', path = '']: RegExpExecArray): RedisConfig {
  if (read.text('HOLDLINE_FSYNC') !== undefined) {
    read.fault('HOLDLINE_FSYNC', 'is for the embedded log: a Redis server flushes as its own appendfsync says, and HOLDLINE_PROMISE is what it must keep');
  }
  const promise = readPromise(read);
  const urls = readPlaces(read, protocol, places);
  const fault = (what: string): void => read.fault('HOLDLINE_BROKER', what);
  if (kind === '-sentinel') {
    if (!/^[A-Za-z0-9._-]+$/.test(path)) fault('must end in the name by which the sentinels know the master, like redis-sentinel://<host>:<port>,…/mymaster');
    return { engine: 'redis', nodes: [], cluster: false, sentinel: { name: path, urls }, promise };
  }
  if (kind === '-cluster') {
    if (path !== '') fault('names a database, and a cluster has only one');
    return { engine: 'redis', nodes: urls, cluster: true, promise };
  }
  if (urls.length > 1) fault(`names several servers: say whether they are a cluster (${protocol}-cluster://…) or sentinels (${protocol}-sentinel://…/<name>)`);
  if (!/^\d{0,4}$/.test(path)) fault('may end in the number of a database, and in nothing else');
  return { engine: 'redis', nodes: path === '' ? urls : urls.map((url) => `${url}/${path}`), cluster: false, promise };
}

/** `user:password@` stands once, before the first, and is for all. */
function readPlaces(read: EnvironmentReader, protocol: string, text: string): string[] {
  const at = text.lastIndexOf('@');
  const credentials = text.slice(0, at + 1);
  const urls = text.slice(at + 1).split(',').map((place) => `${protocol}://${credentials}${place.trim()}`);
  if (urls.some((url) => !isPlace(url))) read.fault('HOLDLINE_BROKER', `must be ${FORMS}`);
  return urls;
}

function isPlace(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { hostname, search, hash, pathname } = new URL(text);
  return hostname !== '' && search === '' && hash === '' && (pathname === '' || pathname === '/');
}

function readPromise(read: EnvironmentReader): RedisPromise {
  const text = read.text('HOLDLINE_PROMISE') ?? 'always';
  if (text === 'memory' || text === 'everysec' || text === 'always') return text;
  const replicated = Number(/^replicated:(\d)$/.exec(text)?.[1]);
  if (replicated >= 1 && replicated <= REPLICAS_MAX) return { replicated };
  read.fault('HOLDLINE_PROMISE', `must be memory, everysec, always or replicated:<replicas, 1 to ${REPLICAS_MAX}>`);
  return 'always';
}
