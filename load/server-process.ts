// A server under measurement: its own process, pinned to the first core, with its CPU and memory as the kernel
// counts them (all threads, so that flushes count too).
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TICK_MS = 10;
/** As the executable is started (src/main.ts). */
const NODE_OPTIONS = ['--max-semi-space-size=32'];
/** LOAD_PROFILE=<folder> keeps a CPU profile of every server there. */
const PROFILE = process.env['LOAD_PROFILE'];

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly port: number;
  readonly token: string;

  constructor(child: ChildProcess, hello: { port: number; token?: string }) {
    this.#child = child;
    this.port = hello.port;
    this.token = hello.token ?? '';
  }

  /** `script`: the built server beside this file. */
  static async start(script: 'clock-server' | 'bare-server', args: readonly string[] = []): Promise<ServerProcess> {
    const profile = PROFILE === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', PROFILE];
    const path = fileURLToPath(new URL(`${script}.js`, import.meta.url));
    const child = spawn('taskset', ['-c', '0', process.execPath, ...NODE_OPTIONS, ...profile, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    return new ServerProcess(child, JSON.parse(line) as { port: number; token?: string });
  }

  /** User and system time of all its threads, in ms, 10 ms exact. */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#pid()}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }

  residentKb(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#pid()}/status`, 'utf8'))?.[1]);
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }

  #pid(): number {
    return this.#child.pid ?? 0;
  }
}
