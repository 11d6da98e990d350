// Real redis-server processes for tests, each on a loopback port and in a temporary folder that outlive it, so that it
// can be killed and restarted in its place: a single server, a replica of another, or a node of a cluster.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, type Exit } from './child.ts';
import { freePort } from './server-process.ts';
import { slowed } from './slowness.ts';

export interface RedisOptions {
  /** Default: no append-only file, so that the data is lost with the process. */
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  /** Like `100mb`. Default: no limit. */
  readonly maxmemory?: string;
  readonly policy?: 'noeviction' | 'allkeys-lru' | 'volatile-lru' | 'volatile-ttl';
  readonly replicaOf?: RedisServer;
  readonly cluster?: boolean;
  /** Any other setting, by its name in redis.conf. */
  readonly more?: Readonly<Record<string, string>>;
}

/** No test waits until a cluster finds a dead node. A node without processor time for this long would count as dead,
 *  and then the whole cluster refuses service. */
const CLUSTER_NODE_TIMEOUT_MS = 15_000;
/** Attempts to start when the chosen port is taken. */
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

  /** Resolves once it accepts connections; a replica, once it has the data of its master. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    for (let tries = 1; ; tries += 1) {
      const server = new RedisServer(
        await mkdtemp(join(tmpdir(), 'holdline-redis-')),
        await freePort(),
        await freePort(),
        options,
      );
      try {
        await server.restart();
        if (options.replicaOf !== undefined) await server.until('INFO replication', /master_link_status:up/);
        return server;
      } catch (error) {
        // The port was free when it was chosen, and a concurrent test has taken it since.
        const isTaken = server.log.some((line) => line.includes('Address already in use'));
        await server.close();
        if (!isTaken || tries === START_TRIES_MAX) throw error;
      }
    }
  }

  /** Every line that any process run of it wrote. */
  get log(): readonly string[] {
    return this.#lives.flatMap((child) => child.lines);
  }

  /** Starts it again on the same folder and port. Resolves once it has loaded its data. */
  async restart(): Promise<void> {
    await this.launch().line(/Ready to accept connections/);
  }

  /** Starts it without waiting for it. */
  launch(): Child {
    const child = new Child('redis-server', this.#settings);
    this.#lives.push(child);
    return child;
  }

  /** The output of redis-cli for a command as one would type it. @throws when the server refuses it or does not answer
   */
  async command(line: string): Promise<string> {
    const child = new Child('redis-cli', ['-p', String(this.port), '-e', ...line.split(' ')]);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(`redis-cli ${line}: ${child.stdout}${child.stderr}`);
    return child.stdout.trimEnd();
  }

  /** `restart` starts it again. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<Exit> {
    return this.#child.kill(signal);
  }

  /** Stops the process like a machine that hangs: connections stay open, and no request is answered. */
  freeze(): void {
    this.#child.freeze();
  }

  thaw(): void {
    this.#child.thaw();
  }

  /** Ends it and removes its folder. */
  async close(): Promise<void> {
    for (const child of this.#lives) await child.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Repeats the command until the answer matches, because Redis does not announce the change. */
  async until(line: string, wanted: RegExp): Promise<void> {
    while (!wanted.test(await this.command(line)));
  }

  get #child(): Child {
    const child = this.#lives.at(-1);
    if (child === undefined) throw new Error('the server was never started');
    return child;
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
    // The replica of a test connects at once, and the master need not wait for a second one.
    'repl-diskless-sync-delay': '0',
    ...(appendfsync === undefined ? {} : { appendfsync }),
    ...(maxmemory === undefined ? {} : { maxmemory }),
    ...(policy === undefined ? {} : { 'maxmemory-policy': policy }),
    ...(replicaOf === undefined ? {} : { replicaof: `127.0.0.1 ${replicaOf.port}` }),
    ...(cluster
      ? {
          'cluster-enabled': 'yes',
          'cluster-port': String(busPort),
          'cluster-node-timeout': String(slowed(CLUSTER_NODE_TIMEOUT_MS)),
        }
      : {}),
    ...more,
  };
  return Object.entries(settings).flatMap(([name, value]) => [
    `--${name}`,
    ...(name === 'replicaof' ? value.split(' ') : [value]),
  ]);
}
