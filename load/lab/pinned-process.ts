// A process of the lab: pinned to a core, asked over IPC where it answers, with its CPU and memory as the kernel counts
// them.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { endWithParent } from '../end-with-parent.ts';
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
  readonly #script: string;

  constructor({ core, script, args, env = {}, nodeOptions = [] }: PinnedPlan) {
    this.#script = script;
    this.#child = spawn('taskset', ['-c', core, process.execPath, ...NODE_OPTIONS, ...nodeOptions, script, ...args], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ...env },
    });
    endWithParent(this.#child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  cpuMs(): number {
    return cpuMsOf(this.pid);
  }

  /** CPU ms of each thread by its name; the main thread is `main`, and threads of one name count together. */
  cpuMsByThread(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const thread of readdirSync(`/proc/${this.pid}/task`)) {
      const folder = `/proc/${this.pid}/task/${thread}`;
      const name = thread === String(this.pid) ? 'main' : readFileSync(`${folder}/comm`, 'utf8').trim();
      sums.set(name, (sums.get(name) ?? 0) + Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]) / 1e6);
    }
    return sums;
  }

  residentMb(): number {
    return residentMbOf(this.pid);
  }

  tell(message: object): void {
    this.#child.send(message);
  }

  /** @throws Error if the process ends before it answers */
  async ask(message: object): Promise<unknown> {
    const settled = new AbortController();
    const answered = once(this.#child, 'message', settled) as Promise<[unknown]>;
    this.#child.send(message);
    try {
      return (await this.alive(answered))[0];
    } finally {
      settled.abort();
      answered.catch(() => undefined);
    }
  }

  /** What `awaited` gives. @throws Error if the process ends first: nothing would come any more */
  async alive<T>(awaited: Promise<T>): Promise<T> {
    const settled = new AbortController();
    const gone = once(this.#child, 'exit', settled).then(() => {
      throw new Error(`a process of the lab ended too early: ${this.#script}`);
    });
    if (this.#child.exitCode !== null) throw new Error(`a process of the lab has ended: ${this.#script}`);
    try {
      return await Promise.race([awaited, gone]);
    } finally {
      settled.abort();
      gone.catch(() => undefined);
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
