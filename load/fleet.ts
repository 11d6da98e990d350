// What a cluster is made of, under measurement: one Redis (appendfsync always), one worker and some gateways, each on the
// cores it is given.
import { randomBytes } from 'node:crypto';
import { RedisProcess } from './redis-process.ts';
import { ServerProcess } from './server-process.ts';

/** As taskset takes them. */
const ALL_CORES = '0,1';

export interface Fleet {
  readonly redis: RedisProcess;
  readonly worker: ServerProcess;
  readonly gateways: readonly [ServerProcess, ...ServerProcess[]];
}

export interface FleetPlan {
  /** One of each gateway. The rest may use all. */
  readonly gatewayCores: readonly [string, ...string[]];
}

/** So many gateways that may use all cores like everybody else. */
export function unpinned(gateways: 1 | 2): FleetPlan {
  return { gatewayCores: gateways === 1 ? [ALL_CORES] : [ALL_CORES, ALL_CORES] };
}

/** Everything is ended when `use` is over. */
export async function withFleet<T>({ gatewayCores }: FleetPlan, use: (fleet: Fleet) => Promise<T>): Promise<T> {
  const redis = await RedisProcess.start('always');
  const env = { LOAD_SECRET: randomBytes(48).toString('hex') };
  const started: ServerProcess[] = [];
  const start = async (role: string, cores: string): Promise<ServerProcess> => {
    const one = await ServerProcess.start('clock-server', [redis.url, role], { cores, env });
    started.push(one);
    return one;
  };
  try {
    const worker = await start('worker', ALL_CORES);
    const [first, ...others] = gatewayCores;
    const gateways: [ServerProcess, ...ServerProcess[]] = [await start('gateway', first)];
    for (const cores of others) gateways.push(await start('gateway', cores));
    return await use({ redis, worker, gateways });
  } finally {
    for (const one of started) await one.stop();
    await redis.stop();
  }
}
