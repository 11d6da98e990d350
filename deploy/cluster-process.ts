// One process of the local cluster: its name, its life, and what of its output is worth showing.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ProcessPlan {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The line with which it says that it is up. */
  readonly ready: RegExp;
  /** Which of its lines are shown. */
  readonly shows: RegExp;
}

export class ClusterProcess {
  readonly plan: ProcessPlan;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #isEnding = false;
  #isGone = false;

  constructor(plan: ProcessPlan) {
    this.plan = plan;
    // In a group of its own: a Ctrl-C in the terminal is for the cluster, which ends its processes in order.
    this.#child = spawn(plan.file, plan.args, {
      env: { ...process.env, ...plan.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) =>
        this.#onGone(`${error.message}: is it installed? node test/setup/install-needs.mjs`, resolve),
      );
      this.#child.once('exit', (code, signal) => this.#onGone(signal ?? `code ${code ?? 0}`, resolve));
    });
  }

  /** Resolves once it says that it is up. To be asked once. @throws where it ends instead */
  async up(): Promise<void> {
    const { name, ready, shows } = this.plan;
    const said = new Promise<void>((resolve) => {
      for (const output of [this.#child.stdout, this.#child.stderr]) {
        if (output === null) continue;
        createInterface({ input: output }).on('line', (line) => {
          if (ready.test(line)) resolve();
          if (shows.test(line)) console.log(`${name} | ${line}`);
        });
      }
    });
    await Promise.race([said, this.#exited]);
    if (this.#isGone) throw new Error(`${name} did not start`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves once it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#isEnding = true;
    if (!this.#isGone) this.#child.kill(signal);
    await this.#exited;
  }

  /** For the very end of this process: nothing is waited for. */
  kill(): void {
    if (!this.#isGone) this.#child.kill('SIGKILL');
  }

  #onGone(how: string, resolve: () => void): void {
    this.#isGone = true;
    if (!this.#isEnding) console.log(`${this.plan.name} | ended (${how}). Nothing restarts it; what is left goes on.`);
    resolve();
  }
}
