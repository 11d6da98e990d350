// Opens the engine on Redis: connects, verifies that the servers keep what is promised and that the store has the
// layout that this node uses, and builds the parts. A server that fails a check is refused at the start.
import { Redis } from 'ioredis';
import { BATCH_PAUSE_MS } from './append-lanes.ts';
import type { Clock } from '../../base/clock.ts';
import type { BrokerEngine, FlowOf } from '../broker.ts';
import type { FlowPolicyOf } from '../flow-policy.ts';
import type { AccountOf } from '../accounts.ts';
import { BrokerError } from '../errors.ts';
import { connectionSettings } from './connection/connection-settings.ts';
import { LAYOUT_VERSION, PARTITIONS_DEFAULT, PREFIX_DEFAULT, RedisKeys } from './keys.ts';
import { CLOCK, encodeClock } from './commands/clock.ts';
import { decodeLayout, encodeLayout, LAYOUT } from './commands/layout.ts';
import { countFirst } from './accounts/recount.ts';
import { RedisBroker } from './redis-broker.ts';
import { ServerClock } from './server-clock.ts';
import { brokerErrorOf } from './connection/redis-errors.ts';
import { RedisNode } from './connection/redis-node.ts';
import { RedisNodes } from './connection/redis-nodes.ts';
import { Route } from './connection/route.ts';
import { describePromise, verifyPromise, type Promised } from './connection/verify-promise.ts';

const PORT = 6379;
const SENTINEL_PORT = 26379;

export interface RedisBrokerOptions extends Promised {
  /** `redis://` or `rediss://` URLs: one server, or some of a cluster. Not used with sentinels. */
  readonly nodes: readonly string[];
  readonly cluster?: boolean;
  /** The sentinels' name for the master, and their URLs. User, password and protocol of the first URL apply to all. */
  readonly sentinel?: { readonly name: string; readonly urls: readonly string[] };
  /** Must be the same on every node, and never change. */
  readonly partitions?: number;
  /** The prefix of all keys, so that one Redis can hold several stores. */
  readonly prefix?: string;
  readonly clock: Clock;
  /** Must never return a value twice. */
  readonly newEpoch: () => string;
  /** The same on every node. Default: all topics are of one flow. */
  readonly flowOf?: FlowOf;
  /** The same on every node. Default: all flows have the same weight. */
  readonly policyOf?: FlowPolicyOf;
  /** The same on every node. Default: no topic counts for an account. */
  readonly accountOf?: AccountOf;
  /** Scripts use the given clock instead of the server's. For tests only: the clocks of nodes differ. */
  readonly clockDecides?: boolean;
  /** The server's clock is right even where it is far from the time on record. */
  readonly isClockTrusted?: boolean;
  /** Receives errors of work that no caller waits for. */
  readonly onError: (error: unknown) => void;
}

/** @throws BrokerError invalid-config, unavailable */
export async function openRedisBroker(options: RedisBrokerOptions): Promise<BrokerEngine> {
  const { clock, promise, newEpoch, onError, clockDecides = false, isClockTrusted = false } = options;
  const keys = new RedisKeys(options.prefix ?? PREFIX_DEFAULT, options.partitions ?? PARTITIONS_DEFAULT, {
    isCluster: options.cluster === true && options.sentinel === undefined,
  });
  const route = routeOf(options, keys);
  try {
    await route.start();
    const nodes: RedisNodes = new RedisNodes({
      keys,
      clock,
      route,
      time: () => (clockDecides ? String(clock.now()) : `~${serverClock.estimate}`),
    });
    const serverClock = new ServerClock({
      clock,
      ask: (estimate) => nodes.run(CLOCK, 0, encodeClock(estimate)),
      isTrusted: isClockTrusted,
      onDoubt: (line) => onError(new Error(line)),
    });
    await checkLayout(nodes);
    // The first look reads the time on record; the second one writes it.
    for (let look = 0; look < 2 && !clockDecides; look += 1) await serverClock.look();
    const rules = { isKept: promise === 'always', newEpoch, accountOf: options.accountOf };
    if (options.accountOf !== undefined) await countFirst(nodes, options.accountOf);
    const checkClock = clockDecides ? () => Promise.resolve() : () => serverClock.look();
    return new RedisBroker({
      nodes,
      checkClock,
      // Under a clock that tests move, no time passes between two calls.
      batchPauseMs: clockDecides ? 0 : BATCH_PAUSE_MS,
      rules,
      flows: { flowOf: options.flowOf ?? (() => ''), policyOf: options.policyOf ?? (() => ({})) },
      onError,
      durability: describePromise(options),
    });
  } catch (error) {
    route.close();
    throw brokerErrorOf(error, 'start');
  }
}

function routeOf(options: RedisBrokerOptions, keys: RedisKeys): Route {
  const { nodes, sentinel, cluster = false, clock, onError } = options;
  const shared = { keys, clock, onError };
  if (sentinel !== undefined) {
    const open = (name: string): RedisNode => nodeOf(options, name, toMaster(sentinel));
    return new Route({ ...shared, isCluster: false, seeds: [`${sentinel.name} (sentinels)`], open });
  }
  const [first] = nodes;
  if (first === undefined) throw new BrokerError('invalid-config', 'no Redis server is named');
  if (!cluster) {
    const open = (name: string): RedisNode => nodeOf(options, name, toServer(first));
    return new Route({ ...shared, isCluster: false, seeds: [new URL(first).host], open });
  }
  const route: Route = new Route({
    ...shared,
    isCluster: true,
    seeds: nodes.map((url) => new URL(url)).map(({ hostname, port }) => `${hostname}:${port === '' ? PORT : port}`),
    open: (address) => nodeOf(options, address, toServer(withAddress(first, address)), () => route.recheck()),
  });
  return route;
}

type Connect = (purpose: 'commands' | 'subscriber') => Redis;

function nodeOf(
  { clock, promise, appendfsync, onError }: RedisBrokerOptions,
  name: string,
  connect: Connect,
  onMoved: () => void = () => undefined,
): RedisNode {
  return new RedisNode({
    name,
    clock,
    connect,
    onMoved,
    onError,
    verify: (redis, where) => verifyPromise(redis, { promise, appendfsync }, where),
  });
}

function toServer(url: string): Connect {
  return (purpose) => new Redis(url, connectionSettings(purpose));
}

/** Connects to the server that the sentinels name as master. */
function toMaster({ name, urls }: { readonly name: string; readonly urls: readonly string[] }): Connect {
  const places = urls.map((url) => new URL(url));
  const sentinels = places.map(({ hostname, port }) => ({
    host: hostname,
    port: Number(port === '' ? SENTINEL_PORT : port),
  }));
  const { username = '', password = '', protocol = '' } = places[0] ?? {};
  const [user, secret] = [decodeURIComponent(username), decodeURIComponent(password)];
  const credentials = {
    ...(user === '' ? {} : { username: user, sentinelUsername: user }),
    ...(secret === '' ? {} : { password: secret, sentinelPassword: secret }),
  };
  const tls = protocol === 'rediss:' ? { tls: {}, enableTLSForSentinelMode: true, sentinelTLS: {} } : {};
  return (purpose) =>
    new Redis({ ...connectionSettings(purpose), sentinels, name, role: 'master', ...credentials, ...tls });
}

/** The same user, password and protocol, at another address. */
function withAddress(url: string, address: string): string {
  const changed = new URL(url);
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  changed.hostname = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  changed.port = address.slice(colon + 1);
  return changed.href;
}

async function checkLayout(nodes: RedisNodes): Promise<void> {
  const ours = { version: LAYOUT_VERSION, partitions: nodes.keys.partitions };
  const { keys } = nodes;
  const places = Array.from({ length: keys.partitions }, (_, n) => n);
  // The places that one call may have together. A proxy that has them on several servers refuses this call already.
  const together = places.filter((n) => n !== 0 && keys.batchPlaceOf(n) === 0);
  const { version, partitions } = decodeLayout(await nodes.run(LAYOUT, 0, encodeLayout(ours), together));
  if (version !== LAYOUT_VERSION)
    throw new BrokerError(
      'invalid-config',
      `this store has layout ${version}, and this version of Holdline knows ${LAYOUT_VERSION}`,
    );
  if (partitions !== nodes.keys.partitions)
    throw new BrokerError('invalid-config', `this store has ${partitions} partitions, not ${nodes.keys.partitions}`);
}
