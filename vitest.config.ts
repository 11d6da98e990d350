import { defineConfig } from 'vitest/config';
import { timeLimit } from './test/support/slowness.ts';
import { ProgressReporter } from './test/setup/progress-reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/{torture,examples}/**'],
    globalSetup: ['test/setup/temporary-folder.ts'],
    // Sets the time-outs of tests and hooks for each file.
    setupFiles: ['test/setup/time-limits.ts'],
    expect: { poll: { timeout: timeLimit(5_000) } },
    maxWorkers: 2,
    restoreMocks: true,
    reporters: ['default', new ProgressReporter()],
  },
});
