// Holdline as its users run it, for a scenario: the built executable in processes of its own. With the embedded
// engine it is one process; on Redis (appendfsync always) it has gateways and workers. Each can be killed and started
// again in its place.
import { createSecretKey, randomBytes } from 'node:crypto';
import { signToken } from '../../src/gateway/auth/jwt-signature.ts';
import { RedisServer } from '../../test/support/redis-server.ts';
import { ServerProcess } from '../../test/support/server-process.ts';

export type Engine = 'embedded' | 'redis';

export interface DeploymentPlan {
  readonly engine: Engine;
  /** With Redis. */
  readonly gateways?: number;
  /** With Redis. */
  readonly workers?: number;
  readonly env: Readonly<Record<string, string>>;
}

/** No limits of one user or address: a scenario has one address and few users. */
const UNLIMITED = {
  HOLDLINE_RUNS_PER_USER: '0',
  HOLDLINE_SESSIONS_PER_USER: '0',
  HOLDLINE_CONNECTIONS_PER_USER: '20000',
  HOLDLINE_CONNECTIONS_PER_ADDRESS: '20000',
  HOLDLINE_SOCKETS_PER_ADDRESS: '20000',
  HOLDLINE_SUBSCRIPTIONS_PER_USER: '20000',
};
const TOKEN_SECONDS = 3600;

export class Deployment {
  /** The embedded server is its own gateway and worker. */
  readonly gateways: readonly [ServerProcess, ...ServerProcess[]];
  readonly workers: readonly ServerProcess[];
  readonly redis: RedisServer | undefined;
  readonly #secret: string;

  private constructor(parts: Pick<Deployment, 'gateways' | 'workers' | 'redis'>, secret: string) {
    ({ gateways: this.gateways, workers: this.workers, redis: this.redis } = parts);
    this.#secret = secret;
  }

  static async start({ engine, gateways = 1, workers = 1, env }: DeploymentPlan): Promise<Deployment> {
    const secret = randomBytes(32).toString('hex');
    const settings = { HOLDLINE_LOG_LEVEL: 'warn', HOLDLINE_JWT_SECRET: secret, ...UNLIMITED, ...env };
    if (engine === 'embedded') {
      const server = await ServerProcess.start({ env: settings });
      return new Deployment({ gateways: [server], workers: [server], redis: undefined }, secret);
    }
    const redis = await RedisServer.start({ appendfsync: 'always' });
    const node = async (role: string): Promise<ServerProcess> =>
      ServerProcess.start({ broker: redis.url, env: { ...settings, HOLDLINE_ROLE: role } });
    const first = await node('gateway');
    const others = await Promise.all(Array.from({ length: gateways - 1 }, () => node('gateway')));
    const working = await Promise.all(Array.from({ length: workers }, () => node('worker')));
    return new Deployment({ gateways: [first, ...others], workers: working, redis }, secret);
  }

  /** A token of that tenant, for every priority. */
  token(tenant: string, sub = 'user'): string {
    const iat = Math.floor(Date.now() / 1000);
    const claims = { sub, tenant, scope: 'chat', priority: 'high', iat, exp: iat + TOKEN_SECONDS };
    return signToken(claims, createSecretKey(Buffer.from(this.#secret)));
  }

  /** The end of what each process wrote. */
  get log(): string {
    const all = new Set([...this.gateways, ...this.workers]);
    return [...all].flatMap(({ log, port }) => log.slice(-LOG_LINES).map((line) => `${port} | ${line}`)).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all([...new Set([...this.gateways, ...this.workers])].map((one) => one.close()));
    await this.redis?.close();
  }
}

const LOG_LINES = 20;
