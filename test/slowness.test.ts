// The time-outs of tests, and the line that says how far the tests are.
import { describe, expect, it } from 'vitest';
import { slowed, slownessOf, timeLimit } from './support/slowness.ts';
import { ProgressReporter } from './setup/progress-reporter.ts';

describe('a time-out of a test', () => {
  it.each([
    ['an idle machine', { workMs: 9, loadPerCore: 0.1 }, 1],
    ['a slow machine', { workMs: 48, loadPerCore: 0.5 }, 4],
    ['a machine with more work than cores', { workMs: 12, loadPerCore: 14 }, 14],
    ['a machine that hardly moves', { workMs: 12_000, loadPerCore: 3 }, 30],
  ])('scales with how slow the machine is: %s', (_, load, expected) => {
    expect(slownessOf(load)).toBe(expected);
  });

  it('is never shorter than what an idle machine needs', () => {
    expect(timeLimit(1_000)).toBeGreaterThanOrEqual(2_000);
    expect(slowed(1_000)).toBeGreaterThanOrEqual(1_000);
  });

  it('holds for the tests of a file that sets none', ({ task }) => {
    expect(task.timeout).toBeGreaterThanOrEqual(40_000);
  });
});

describe('the progress line', () => {
  it('names files, tests, failures, the time, the slowest file and those that run', () => {
    const lines: string[] = [];
    let now = 0;
    const reporter = new ProgressReporter(
      (line) => lines.push(line),
      () => now,
    );
    reporter.onTestRunStart(new Array<never>(3));
    for (const [name, duration, state] of [
      ['a.test.ts', 7_000, 'passed'],
      ['b.test.ts', 21_000, 'failed'],
    ] as const) {
      reporter.onTestModuleStart({ relativeModuleId: name });
      reporter.onTestCaseResult({ result: () => ({ state }) as never });
      reporter.onTestModuleEnd({ relativeModuleId: name, diagnostic: () => ({ duration }) as never });
    }
    reporter.onTestModuleStart({ relativeModuleId: 'c.test.ts' });
    now = 30_000;
    reporter.tell();
    reporter.onTestRunEnd();
    expect(lines[0]).toMatch(
      /^progress: 2 of 3 files \| 2 tests, 1 failed \| 30 s so far \| slowest b\.test\.ts 21 s \| now c\.test\.ts \| time-outs x\d+\.\d$/,
    );
    expect(lines.slice(-2)).toEqual(['  21 s b.test.ts', '  7 s a.test.ts']);
  });
});
