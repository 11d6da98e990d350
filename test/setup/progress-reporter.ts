// Says every now and then how far the tests are, also where no terminal shows it: in a pipe or in a log of a build.
import type { Reporter, TestCase, TestModule, TestSpecification } from 'vitest/node';
import { slowness } from '../support/slowness.ts';

const EVERY_MS = 30_000;
const SLOWEST_COUNT = 5;
const RUNNING_NAMES_MAX = 3;

export interface TimedFile {
  readonly name: string;
  readonly ms: number;
}

export interface Progress {
  readonly filesDone: number;
  readonly files: number;
  readonly tests: number;
  readonly failed: number;
  readonly elapsedMs: number;
  readonly running: readonly string[];
  readonly slowest: TimedFile | undefined;
  readonly slowness: number;
}

export class ProgressReporter implements Reporter {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #running = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #begun = 0;
  #files = 0;
  #done: TimedFile[] = [];
  #tests = 0;
  #failed = 0;

  constructor(
    write: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
    now: () => number = () => performance.now(),
  ) {
    this.#write = write;
    this.#now = now;
  }

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#begun = this.#now();
    this.#files = specifications.length;
    this.#done = [];
    this.#tests = 0;
    this.#failed = 0;
    this.#timer = setInterval(() => this.tell(), EVERY_MS).unref();
  }

  onTestModuleStart({ relativeModuleId }: Pick<TestModule, 'relativeModuleId'>): void {
    this.#running.add(relativeModuleId);
  }

  onTestCaseResult(test: Pick<TestCase, 'result'>): void {
    this.#tests += 1;
    if (test.result().state === 'failed') this.#failed += 1;
  }

  onTestModuleEnd(module: Pick<TestModule, 'relativeModuleId' | 'diagnostic'>): void {
    this.#running.delete(module.relativeModuleId);
    this.#done.push({ name: module.relativeModuleId, ms: module.diagnostic().duration });
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer);
    this.tell();
    for (const { name, ms } of this.#slowest()) this.#write(`  ${seconds(ms)} ${name}`);
  }

  tell(): void {
    this.#write(
      progressLine({
        filesDone: this.#done.length,
        files: this.#files,
        tests: this.#tests,
        failed: this.#failed,
        elapsedMs: this.#now() - this.#begun,
        running: [...this.#running],
        slowest: this.#slowest()[0],
        slowness: slowness(),
      }),
    );
  }

  #slowest(): readonly TimedFile[] {
    return this.#done.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST_COUNT);
  }
}

export function progressLine({
  filesDone,
  files,
  tests,
  failed,
  elapsedMs,
  running,
  slowest,
  slowness: slow,
}: Progress): string {
  const parts = [
    `${filesDone} of ${files} files`,
    `${tests} tests${failed === 0 ? '' : `, ${failed} failed`}`,
    `${seconds(elapsedMs)} so far`,
    ...(slowest === undefined ? [] : [`slowest ${slowest.name} ${seconds(slowest.ms)}`]),
    ...(running.length === 0 ? [] : [`now ${running.slice(0, RUNNING_NAMES_MAX).join(', ')}`]),
    `time-outs x${slow.toFixed(1)}`,
  ];
  return `progress: ${parts.join(' | ')}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
