// A Redis that survives the loss of a machine: a master, two replicas and three sentinels, each a real process. There
// are two replicas because `replicated:1` needs one more when the first has become the master.
import { RedisSentinel, MASTER_NAME } from './redis-sentinel.ts';
import { RedisServer, type RedisOptions } from './redis-server.ts';

const REPLICAS = 2;
const SENTINELS = 3;
const QUORUM = 2;

export class ReplicatedRedis {
  readonly #servers: readonly RedisServer[];
  readonly #sentinels: readonly RedisSentinel[];
  #master: RedisServer;

  private constructor(master: RedisServer, replicas: readonly RedisServer[], sentinels: readonly RedisSentinel[]) {
    this.#servers = [master, ...replicas];
    this.#sentinels = sentinels;
    this.#master = master;
  }

  /** Resolves once the sentinels know the replicas and one another. */
  static async start(options: Omit<RedisOptions, 'cluster' | 'replicaOf'> = {}): Promise<ReplicatedRedis> {
    const master = await RedisServer.start(options);
    const replicas = await Promise.all(
      Array.from({ length: REPLICAS }, async () => RedisServer.start({ ...options, replicaOf: master })),
    );
    const sentinels = await Promise.all(
      Array.from({ length: SENTINELS }, async () => RedisSentinel.start(master, QUORUM)),
    );
    for (const sentinel of sentinels) {
      for (const { port } of replicas) await sentinel.said(new RegExp(`\\+slave slave 127\\.0\\.0\\.1:${port} `));
      for (const { port } of sentinels)
        if (port !== sentinel.port)
          await sentinel.said(new RegExp(`\\+sentinel sentinel \\S+ 127\\.0\\.0\\.1 ${port} `));
    }
    return new ReplicatedRedis(master, replicas, sentinels);
  }

  /** The value for HOLDLINE_BROKER. */
  get url(): string {
    return `redis-sentinel://${this.#sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER_NAME}`;
  }

  get log(): readonly string[] {
    return [...this.#servers, ...this.#sentinels].flatMap(({ port, log }) =>
      log.slice(-5).map((line) => `${port} ${line}`),
    );
  }

  get master(): RedisServer {
    return this.#master;
  }

  /** Resolves once the sentinels have replaced the lost master and all of them know the new one. */
  async failedOver(): Promise<void> {
    const gone = this.#master.port;
    const [next] = await Promise.all(
      this.#sentinels.map(async (sentinel) =>
        sentinel.said(new RegExp(`\\+switch-master ${MASTER_NAME} 127\\.0\\.0\\.1 ${gone} 127\\.0\\.0\\.1 (\\d+)`)),
      ),
    );
    const master = this.#servers.find(({ port }) => port === Number(next?.[1]));
    if (master === undefined) throw new Error('the sentinels chose a server that is none of these');
    this.#master = master;
  }

  /** Resolves once all other servers are its replicas, including former masters. */
  async whole(): Promise<void> {
    await this.#master.until('INFO replication', new RegExp(`connected_slaves:${REPLICAS}\\b`));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sentinels, ...this.#servers].map(async (one) => one.close()));
  }
}
