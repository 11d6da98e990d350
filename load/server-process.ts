// A server under measurement: its own process, pinned to the first core, with its CPU and memory as the kernel
// counts them (all threads, so that flushes count too).
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { PhaseFigures } from './phase-meter.ts';

const TICK_MS = 10;

/** User and system time of all threads of a process, in ms, 10 ms exact. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export interface StartOptions {
  /** As taskset takes them. Default: the first. */
  readonly cores?: string;
  readonly env?: Readonly<Record<string, string>>;
}
/** As the executable is started (src/main.ts). */
export const NODE_OPTIONS = ['--max-semi-space-size=32'];
/** LOAD_PROFILE=<folder> keeps a CPU profile of every server there. */
export const PROFILE = process.env['LOAD_PROFILE'];

/** Holdline on a folder of its own, for as long as it is measured. */
export async function withServer<T>(measure: (server: ServerProcess) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const server = await ServerProcess.start('clock-server', [folder]);
  try {
    return await measure(server);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly port: number;
  readonly token: string;

  constructor(child: ChildProcess, lines: Interface, hello: { port: number; token?: string }) {
    this.#child = child;
    this.#lines = lines;
    this.port = hello.port;
    this.token = hello.token ?? '';
  }

  /** `script`: the built server beside this file. */
  static async start(
    script: 'clock-server' | 'bare-server',
    args: readonly string[] = [],
    { cores = '0', env = {} }: StartOptions = {},
  ): Promise<ServerProcess> {
    const profile = PROFILE === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', PROFILE];
    const path = fileURLToPath(new URL(`${script}.js`, import.meta.url));
    const child = spawn('taskset', ['-c', cores, process.execPath, ...NODE_OPTIONS, ...profile, path, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    const lines = createInterface({ input: child.stdout });
    const [line] = (await once(lines, 'line')) as [string];
    return new ServerProcess(child, lines, JSON.parse(line) as { port: number; token?: string });
  }

  cpuMs(): number {
    return cpuMsOf(this.#pid());
  }

  residentKb(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#pid()}/status`, 'utf8'))?.[1]);
  }

  /** The turns of its event loop since the last call. The server was started with LOAD_TURNS. */
  async turns(): Promise<PhaseFigures> {
    const printed = once(this.#lines, 'line') as Promise<[string]>;
    this.#child.kill('SIGUSR2');
    const [line] = await printed;
    return JSON.parse(line) as PhaseFigures;
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Without a word. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  #pid(): number {
    return this.#child.pid ?? 0;
  }
}
