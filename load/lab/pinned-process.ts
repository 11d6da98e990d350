// A process of the lab: pinned to a core, asked over IPC where it answers, with its CPU and memory as the kernel counts
// them.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cpuMsOf, NODE_OPTIONS } from '../server-process.ts';

export interface PinnedPlan {
  readonly core: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node beside those that every process of the lab has. */
  readonly nodeOptions?: readonly string[];
}

export class PinnedProcess {
  readonly #child: ChildProcess;

  constructor({ core, script, args, env = {}, nodeOptions = [] }: PinnedPlan) {
    this.#child = spawn('taskset', ['-c', core, process.execPath, ...NODE_OPTIONS, ...nodeOptions, script, ...args], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ...env },
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  cpuMs(): number {
    return cpuMsOf(this.pid);
  }

  residentMb(): number {
    return residentMbOf(this.pid);
  }

  tell(message: object): void {
    this.#child.send(message);
  }

  /** @throws Error if the process ends before it answers */
  async ask(message: object): Promise<unknown> {
    const ended = new AbortController();
    const gone = once(this.#child, 'exit', ended).then(() => {
      throw new Error('a process of the lab ended while it was asked');
    });
    const answered = once(this.#child, 'message', ended) as Promise<[unknown]>;
    this.#child.send(message);
    try {
      return (await Promise.race([answered, gone]))[0];
    } finally {
      ended.abort();
      gone.catch(() => undefined);
      answered.catch(() => undefined);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** At once: nothing of what it holds is needed. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

export function residentMbOf(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}
