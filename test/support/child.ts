// A child process of a test: its output line by line, waits that end with the expected line, and its exit. No child
// outlives the test process.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** The whole environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The working folder. Default: that of this process. */
  readonly cwd?: string;
  /** Written to the standard input, which is closed in any case. */
  readonly input?: string;
  /** Called with each piece of the output before it is split into lines. */
  readonly onOutput?: (text: string) => void;
}

const running = new Set<ChildProcessWithoutNullStreams>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** The environment of this process without Holdline's own settings, plus `more`. */
export function childEnv(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    const isSetting =
      name.startsWith('HOLDLINE_') ||
      name === 'PORT' ||
      name === 'HOST' ||
      name.startsWith('NODE_') ||
      name.startsWith('VITEST');
    if (value !== undefined && !isSetting) env[name] = value;
  }
  return { ...env, ...more };
}

export class Child {
  /** The lines of both outputs, in the order in which they came. */
  readonly lines: string[] = [];
  /** Resolves when the process has ended and its output is read. Never rejects: a command that cannot be started exits
   *  with 127. */
  readonly exited: Promise<Exit>;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting = new Set<() => void>();
  #stdout = '';
  #stderr = '';
  #exit: Exit | undefined;

  constructor(
    file: string,
    args: readonly string[],
    { env = childEnv(), cwd, input = '', onOutput }: ChildOptions = {},
  ) {
    this.#process = spawn(file, args, { env, cwd, stdio: 'pipe' });
    running.add(this.#process);
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      onOutput?.(text);
    });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#readLines('stdout');
    this.#readLines('stderr');
    // The process may end before it has read its input.
    this.#process.stdin.on('error', () => undefined);
    this.#process.stdin.end(input);
    this.exited = this.#run();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  /** The first line that matches, earlier ones included. @throws when the process ends without it */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (let next = 0; ;) {
      for (; next < this.lines.length; next += 1) {
        const match = pattern.exec(this.lines[next] ?? '');
        if (match !== null) return match;
      }
      if (this.#exit !== undefined)
        throw new Error(
          `exited with ${JSON.stringify(this.#exit)} without saying ${pattern}:\n${this.lines.join('\n')}`,
        );
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#process.kill(signal);
    return this.exited;
  }

  /** Stops the process (SIGSTOP): its sockets stay open, and it answers no request. */
  freeze(): void {
    this.#process.kill('SIGSTOP');
  }

  /** Continues the stopped process. */
  thaw(): void {
    this.#process.kill('SIGCONT');
  }

  #readLines(name: 'stdout' | 'stderr'): void {
    let rest = '';
    const keep = (text: string): void => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#tell();
    };
    this.#process[name].on('data', keep);
    this.#process[name].on('end', () => {
      if (rest !== '') keep('\n');
    });
  }

  async #run(): Promise<Exit> {
    try {
      const [code, signal] = (await once(this.#process, 'close')) as [number | null, NodeJS.Signals | null];
      this.#exit = { code, signal };
    } catch (error) {
      this.#stderr += String(error);
      this.lines.push(String(error));
      this.#exit = { code: 127, signal: null };
    }
    running.delete(this.#process);
    this.#tell();
    return this.#exit;
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
