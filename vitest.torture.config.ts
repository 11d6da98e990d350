import { defineConfig } from 'vitest/config';

/** The long forms: real processes, minutes of faults. `npm run torture`. */
export default defineConfig({
  test: { include: ['test/torture/**/*.test.ts'], testTimeout: 1_800_000, hookTimeout: 60_000, maxWorkers: 1 },
});
