// A child process that ends with its test, and whose last lines are printed when the test fails.
import { onTestFailed, onTestFinished } from 'vitest';
import type { Child } from './child.ts';

const LINES_MAX = 40;

/** `signal` ends it. */
export function owned(child: Child, signal: NodeJS.Signals = 'SIGKILL'): Child {
  onTestFinished(async () => {
    await child.kill(signal);
  });
  onTestFailed(() => console.error(child.lines.slice(-LINES_MAX).join('\n')));
  return child;
}
