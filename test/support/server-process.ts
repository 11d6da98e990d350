// A Holdline server as its users run it: the built executable in a process of its own. Its loopback port and data
// folder outlive it, so that it can be killed and restarted in its place. HOLDLINE_TEST_MAIN names another build than
// dist/main.js.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeToken } from '../../src/cli/token.ts';
import { Child, childEnv, type ChildOptions, type Exit } from './child.ts';

/** From the package: the load lab runs a compiled copy of this module, from a folder that is one level deeper. */
const ROOT = dirname(createRequire(import.meta.url).resolve('holdline/package.json'));
const MAIN = process.env['HOLDLINE_TEST_MAIN'] ?? join(ROOT, 'dist/main.js');

/** Below the range of ports that the kernel gives to outgoing connections: while a server is down, no other process
 *  gets its port, and a reconnecting reader cannot connect to itself. */
const PORT_MIN = 20_000;
const PORT_MAX = 31_999;

export interface ServerOptions {
  /** Default: a new folder, removed at the end. */
  readonly folder?: string;
  /** Default: `log:<folder>`. */
  readonly broker?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class ServerProcess {
  readonly folder: string;
  readonly port: number;
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #ownsFolder: boolean;
  readonly #lives: Child[] = [];
  readonly #waiting = new Set<() => void>();
  #isUp = false;

  private constructor(folder: string, port: number, { broker, env, folder: given }: ServerOptions) {
    this.folder = folder;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.env = childEnv({ HOLDLINE_BROKER: broker ?? `log:${folder}`, PORT: String(port), ...env });
    this.#ownsFolder = given === undefined;
  }

  /** Resolves once the server reports that it serves, or a worker that it works. */
  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'holdline-test-')));
    const server = new ServerProcess(folder, await freePort(), options);
    try {
      await server.restart();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** The process of the current process run. */
  get child(): Child {
    const child = this.#lives.at(-1);
    if (child === undefined) throw new Error('the server was never started');
    return child;
  }

  /** Every line that any process run of it wrote. */
  get log(): readonly string[] {
    return this.#lives.flatMap((child) => child.lines);
  }

  /** A token of the user `you`, as `holdline token --sub you` makes it with the server's key. */
  get token(): string {
    return this.tokenFor('1h');
  }

  /** A token of the user `you` that is valid for this long, such as `5s`. */
  tokenFor(ttl: string): string {
    const secret = this.env['HOLDLINE_JWT_SECRET'];
    const auth = secret ? { keys: { kind: 'secret', secret: Buffer.from(secret) } as const } : undefined;
    return makeToken(
      {
        auth,
        broker: {
          engine: 'log',
          folder: this.folder,
          fsync: { mode: 'always' },
          eraseWithinMs: Infinity,
          isClockTrusted: true,
        },
      },
      { sub: 'you', scope: 'chat', tenant: 'default', ttl },
      Date.now(),
    );
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** How often it was started. */
  get lives(): number {
    return this.#lives.length;
  }

  /** Resolves at once while it serves, otherwise when the next process run does. */
  async up(): Promise<void> {
    while (!this.#isUp) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Starts it again on the same folder and port. Resolves once it serves. */
  async restart(): Promise<void> {
    await this.serving(this.launch());
  }

  /** Starts it without waiting for it to serve. */
  launch(): Child {
    const child = holdline(['serve'], { env: this.env });
    this.#lives.push(child);
    return child;
  }

  async serving(child: Child): Promise<void> {
    await child.line(/^holdline (serves|works) /);
    this.#isUp = true;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#isUp = false;
    return this.child.kill(signal);
  }

  /** Stops the process (SIGSTOP): its clients receive nothing, and it still seems to be up. */
  freeze(): void {
    this.child.freeze();
  }

  thaw(): void {
    this.child.thaw();
  }

  async close(): Promise<void> {
    for (const child of this.#lives) await child.kill('SIGKILL');
    if (this.#ownsFolder) await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs the built executable with these arguments. */
export function holdline(args: readonly string[], options: ChildOptions = {}): Child {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is not there: build it first (npm run build)`);
  return new Child(process.execPath, [MAIN, ...args], options);
}

export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
