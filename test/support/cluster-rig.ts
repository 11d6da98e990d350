// What `npm run cluster` starts, for tests: three gateways, two workers and nginx, each a process that can be killed
// and restarted in its place. The test chooses the store, which ends with them.
import { makeToken } from '../../src/cli/token.ts';
import { NginxProcess } from './nginx-process.ts';
import { ServerProcess } from './server-process.ts';
import { slowed } from './slowness.ts';

const SECRET = 'a secret of more than thirty-two bytes for tests';
const GATEWAYS = 3;
const WORKERS = 2;
/** Short, so that the runs of a killed worker are free as soon as another worker can have started. */
const LEASE_MS = slowed(1_000);
const DRAIN_MS = slowed(1_000);

/** A process that a test can kill. */
export interface RigProcess {
  readonly name: string;
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<unknown>;
  restart(): Promise<void>;
}

/** The store: one Redis, a Redis with replicas, or a cluster. */
export interface RigStore {
  /** The value for HOLDLINE_BROKER. */
  readonly url: string;
  readonly log: readonly string[];
  close(): Promise<void>;
}

export class ClusterRig<Store extends RigStore = RigStore> {
  readonly store: Store;
  readonly gateways: readonly ServerProcess[];
  readonly workers: readonly ServerProcess[];
  readonly nginx: NginxProcess;
  readonly token: string;

  private constructor(
    store: Store,
    gateways: readonly ServerProcess[],
    workers: readonly ServerProcess[],
    nginx: NginxProcess,
    token: string,
  ) {
    this.store = store;
    this.gateways = gateways;
    this.workers = workers;
    this.nginx = nginx;
    this.token = token;
  }

  /** @param more settings for every node */
  static async start<Store extends RigStore>(
    store: Store,
    more: Readonly<Record<string, string>> = {},
  ): Promise<ClusterRig<Store>> {
    const secret = Buffer.from(SECRET);
    const token = makeToken(
      { auth: { keys: { kind: 'secret', secret } }, broker: { engine: 'memory' } },
      { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
      Date.now(),
    );
    const env = {
      HOLDLINE_JWT_SECRET: SECRET,
      HOLDLINE_TRUSTED_PROXIES: '127.0.0.1',
      HOLDLINE_LEASE_MS: String(LEASE_MS),
      HOLDLINE_DRAIN_MS: String(DRAIN_MS),
      HOLDLINE_LOG_LEVEL: 'warn',
      ...more,
    };
    const node = async (role: string): Promise<ServerProcess> =>
      ServerProcess.start({ broker: store.url, env: { ...env, HOLDLINE_ROLE: role } });
    const starting = [
      ...Array.from({ length: GATEWAYS }, () => node('gateway')),
      ...Array.from({ length: WORKERS }, () => node('worker')),
    ];
    const started = await Promise.allSettled(starting);
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = started.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      await Promise.all([store.close(), ...nodes.map(async (one) => one.close())]);
      throw failed.reason;
    }
    const gateways = nodes.slice(0, GATEWAYS);
    const nginx = await NginxProcess.start(gateways.map(({ port }) => port));
    return new ClusterRig(store, gateways, nodes.slice(GATEWAYS), nginx, token);
  }

  get processes(): readonly RigProcess[] {
    const named = (name: string, process: Omit<RigProcess, 'name'>): RigProcess => ({
      name,
      kill: (signal) => process.kill(signal),
      restart: () => process.restart(),
    });
    return [
      ...this.gateways.map((gateway, i) => named(`gateway-${i + 1}`, gateway)),
      ...this.workers.map((worker, i) => named(`worker-${i + 1}`, worker)),
      named('nginx', this.nginx),
    ];
  }

  /** The output of every process, by name. */
  get log(): string {
    const said = (name: string, lines: readonly string[]): string[] =>
      lines.slice(-15).map((line) => `${name} | ${line}`);
    const nodes = [...this.gateways, ...this.workers].flatMap((node, i) =>
      said(i < GATEWAYS ? `gateway-${i + 1}` : `worker-${i + 1 - GATEWAYS}`, node.log),
    );
    return [...nodes, ...said('nginx', this.nginx.log), ...said('store', this.store.log)].join('\n');
  }

  async close(): Promise<void> {
    await this.nginx.close();
    await Promise.all([...this.gateways, ...this.workers].map(async (node) => node.close()));
    await this.store.close();
  }
}
