// The masters of a real Redis Cluster for tests, with equal shares of the slots, and the move of a slot from one to
// another as `redis-cli --cluster reshard` does it.
import { RedisServer, type RedisOptions } from './redis-server.ts';
import { timeLimit } from './slowness.ts';

const SLOTS = 16_384;
/** The keys of one slot, at most. */
const KEYS_MAX = 10_000;
const MIGRATE_MS = timeLimit(5_000);

export class RedisCluster {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  /** Resolves once the masters know one another and serve. */
  static async start(masters = 3, options: Omit<RedisOptions, 'cluster' | 'replicaOf'> = {}): Promise<RedisCluster> {
    const nodes = await Promise.all(
      Array.from({ length: masters }, async () => RedisServer.start({ ...options, cluster: true })),
    );
    const cluster = new RedisCluster(nodes);
    try {
      // A node accepts an epoch only while it knows no other node, so all are prepared before the first two meet.
      await Promise.all(nodes.map(async (_, index) => cluster.#prepare(index)));
      await Promise.all(nodes.map(async (node) => cluster.#introduce(node)));
      await cluster.serving();
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get urls(): readonly string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** The value for HOLDLINE_BROKER. */
  get url(): string {
    return `redis-cluster://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  get log(): readonly string[] {
    return this.nodes.flatMap(({ log }) => log);
  }

  /** Resolves once every node reports that the cluster is whole. */
  async serving(): Promise<void> {
    for (const node of this.nodes) {
      await node.until('CLUSTER INFO', /cluster_state:ok/);
      await node.until('CLUSTER INFO', new RegExp(`cluster_known_nodes:${this.nodes.length}\\b`));
    }
  }

  async ownerOf(slot: number): Promise<RedisServer> {
    for (const node of this.nodes) {
      const own = (await node.command('CLUSTER NODES')).split('\n').find((line) => line.includes('myself')) ?? '';
      // A slot under way is in brackets, behind the slots of this node.
      const ranges = own
        .split(' ')
        .slice(8)
        .filter((range) => !range.startsWith('['));
      if (ranges.some((range) => isIn(slot, range))) return node;
    }
    throw new Error(`slot ${slot} has no master`);
  }

  /** Moves a slot to any other master. Calls `halfway` when half of the keys are moved. */
  async move(slot: number, halfway: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const from = await this.ownerOf(slot);
    const to = this.nodes.find((node) => node !== from);
    if (to === undefined) throw new Error('there is nowhere to go');
    const id = await to.command('CLUSTER MYID');
    await to.command(`CLUSTER SETSLOT ${slot} IMPORTING ${await from.command('CLUSTER MYID')}`);
    await from.command(`CLUSTER SETSLOT ${slot} MIGRATING ${id}`);
    const keys = (await from.command(`CLUSTER GETKEYSINSLOT ${slot} ${KEYS_MAX}`))
      .split('\n')
      .filter((key) => key !== '');
    for (const [i, key] of keys.entries()) {
      if (i === Math.floor(keys.length / 2)) await halfway();
      await from.command(`MIGRATE 127.0.0.1 ${to.port} ${key} 0 ${MIGRATE_MS}`);
    }
    for (const node of [to, from, ...this.nodes]) await node.command(`CLUSTER SETSLOT ${slot} NODE ${id}`);
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => node.close()));
  }

  async #prepare(index: number): Promise<void> {
    const node = this.nodes[index];
    const first = Math.floor((index * SLOTS) / this.nodes.length);
    const last = Math.floor(((index + 1) * SLOTS) / this.nodes.length) - 1;
    await node?.command(`CLUSTER ADDSLOTSRANGE ${first} ${last}`);
    await node?.command(`CLUSTER SET-CONFIG-EPOCH ${index + 1}`);
  }

  async #introduce(node: RedisServer): Promise<void> {
    for (const other of this.nodes)
      if (other !== node) await node.command(`CLUSTER MEET 127.0.0.1 ${other.port} ${await busPortOf(other)}`);
  }
}

async function busPortOf(node: RedisServer): Promise<string> {
  return (await node.command('CONFIG GET cluster-port')).split('\n')[1] ?? '';
}

/** The range is `17` or `0-5460`. */
function isIn(slot: number, range: string): boolean {
  const [first = '', last = first] = range.split('-');
  return Number(first) <= slot && slot <= Number(last);
}
