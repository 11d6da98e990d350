// A Redis server under measurement: Debian's binary, in a folder of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParent } from './end-with-parent.ts';
import { cpuMsOf } from './server-process.ts';

export class RedisProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly port: number;

  private constructor(child: ChildProcess, folder: string, port: number) {
    this.#child = child;
    this.#folder = folder;
    this.port = port;
  }

  /** `keeps`: when it flushes its append-only file; with `memory` it has none. `cores`: as taskset takes them. */
  static async start(keeps: 'always' | 'everysec' | 'memory', cores?: string): Promise<RedisProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-load-redis-'));
    const port = await freePort();
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    const file = keeps === 'memory' ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', keeps];
    const command = ['redis-server', ...place, ...file];
    const [program = '', ...args] = cores === undefined ? command : ['taskset', '-c', cores, ...command];
    const child = spawn(program, args, { stdio: 'ignore' });
    endWithParent(child);
    await listening(port);
    return new RedisProcess(child, folder, port);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  cpuMs(): number {
    return cpuMsOf(this.pid);
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Resolves when something listens there. */
export async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isUp) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
