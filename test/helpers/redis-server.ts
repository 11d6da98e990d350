// Real redis-server processes for tests, each on a loopback port and in a temporary folder that outlive it, so that it
// can be killed and started again in the same place: one by itself, a replica of another, or the masters of a cluster.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Exit } from './child.ts';
import { freePort } from './server-process.ts';

export interface RedisOptions {
  /** Default: no append-only file, so that what it holds dies with it. */
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  /** Like `100mb`. Default: none. */
  readonly maxmemory?: string;
  readonly policy?: 'noeviction' | 'allkeys-lru' | 'volatile-lru' | 'volatile-ttl';
  readonly replicaOf?: RedisServer;
  readonly cluster?: boolean;
  /** Any other setting, by its name in redis.conf. */
  readonly more?: Readonly<Record<string, string>>;
}

/** Short, so that a test of a dead master need not wait long. */
const CLUSTER_NODE_TIMEOUT_MS = 1_000;
const SLOTS = 16_384;
/** Ports that turn out to be taken. */
const START_TRIES_MAX = 5;

export class RedisServer {
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  readonly #settings: readonly string[];
  readonly #lives: Child[] = [];

  private constructor(folder: string, port: number, busPort: number, options: RedisOptions) {
    this.folder = folder;
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#settings = settingsOf(folder, port, busPort, options);
  }

  /** Resolves once it takes connections; a replica, once it has what its master has. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    for (let tries = 1; ; tries += 1) {
      const server = new RedisServer(await mkdtemp(join(tmpdir(), 'holdline-redis-')), await freePort(), await freePort(), options);
      try {
        await server.restart();
        if (options.replicaOf !== undefined) await server.#until('INFO replication', /master_link_status:up/);
        return server;
      } catch (error) {
        // Free when it was looked at, and taken since by a test that runs beside this one.
        const isTaken = server.log.some((line) => line.includes('Address already in use'));
        await server.close();
        if (!isTaken || tries === START_TRIES_MAX) throw error;
      }
    }
  }

  /** Every line that any life of it wrote. */
  get log(): readonly string[] {
    return this.#lives.flatMap((child) => child.lines);
  }

  /** Starts the next life on the same folder and port. Resolves once it has loaded its data. */
  async restart(): Promise<void> {
    await this.launch().line(/Ready to accept connections/);
  }

  /** Starts a life without waiting for it. */
  launch(): Child {
    const child = new Child('redis-server', this.#settings);
    this.#lives.push(child);
    return child;
  }

  /** What redis-cli prints: a command as one would type it. @throws where the server refuses it or does not answer */
  async command(line: string): Promise<string> {
    const child = new Child('redis-cli', ['-p', String(this.port), '-e', ...line.split(' ')]);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(`redis-cli ${line}: ${child.stdout}${child.stderr}`);
    return child.stdout.trimEnd();
  }

  /** `restart` starts the next life. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<Exit> {
    const child = this.#lives.at(-1);
    if (child === undefined) throw new Error('the server was never started');
    return child.kill(signal);
  }

  /** As a machine that hangs: connections stay open, nothing is answered. */
  freeze(): void {
    process.kill(this.#pid, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(this.#pid, 'SIGCONT');
  }

  /** Ends it and forgets its folder. */
  async close(): Promise<void> {
    for (const child of this.#lives) await child.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Asks until the answer is as wanted: Redis tells nobody when it gets there. */
  async #until(line: string, wanted: RegExp): Promise<void> {
    while (!wanted.test(await this.command(line)));
  }

  /** Masters with even shares of the slots, which know of one another and serve. */
  static async startCluster(masters = 3, options: Omit<RedisOptions, 'cluster' | 'replicaOf'> = {}): Promise<RedisCluster> {
    const nodes = await Promise.all(Array.from({ length: masters }, async () => RedisServer.start({ ...options, cluster: true })));
    const cluster = new RedisCluster(nodes);
    try {
      await Promise.all(nodes.map(async (node, index) => node.#joinCluster(nodes, index)));
      await cluster.serving();
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  async #joinCluster(nodes: readonly RedisServer[], index: number): Promise<void> {
    const first = Math.floor((index * SLOTS) / nodes.length);
    const last = Math.floor(((index + 1) * SLOTS) / nodes.length) - 1;
    await this.command(`CLUSTER ADDSLOTSRANGE ${first} ${last}`);
    await this.command(`CLUSTER SET-CONFIG-EPOCH ${index + 1}`);
    for (const other of nodes) if (other !== this) await this.command(`CLUSTER MEET 127.0.0.1 ${other.port} ${await other.#busPort()}`);
  }

  async #busPort(): Promise<string> {
    return (await this.command('CONFIG GET cluster-port')).split('\n')[1] ?? '';
  }

  /** Resolves once this node of a cluster serves and knows that many others and itself. */
  async inCluster(nodes: number): Promise<void> {
    await this.#until('CLUSTER INFO', /cluster_state:ok/);
    await this.#until('CLUSTER INFO', new RegExp(`cluster_known_nodes:${nodes}\\b`));
  }

  get #pid(): number {
    return this.#lives.at(-1)?.pid ?? 0;
  }
}

export class RedisCluster {
  readonly nodes: readonly RedisServer[];

  constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  get urls(): readonly string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** Resolves once every node says that the cluster is whole. */
  async serving(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => node.inCluster(this.nodes.length)));
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => node.close()));
  }
}

function settingsOf(folder: string, port: number, busPort: number, options: RedisOptions): string[] {
  const { appendfsync, maxmemory, policy, replicaOf, cluster = false, more = {} } = options;
  const settings: Record<string, string> = {
    port: String(port),
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: appendfsync === undefined ? 'no' : 'yes',
    'enable-debug-command': 'yes',
    // A test's replica comes at once: nobody else is worth waiting for.
    'repl-diskless-sync-delay': '0',
    ...(appendfsync === undefined ? {} : { appendfsync }),
    ...(maxmemory === undefined ? {} : { maxmemory }),
    ...(policy === undefined ? {} : { 'maxmemory-policy': policy }),
    ...(replicaOf === undefined ? {} : { replicaof: `127.0.0.1 ${replicaOf.port}` }),
    ...(cluster ? { 'cluster-enabled': 'yes', 'cluster-port': String(busPort), 'cluster-node-timeout': String(CLUSTER_NODE_TIMEOUT_MS) } : {}),
    ...more,
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, ...(name === 'replicaof' ? value.split(' ') : [value])]);
}
