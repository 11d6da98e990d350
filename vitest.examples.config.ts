import { defineConfig } from 'vitest/config';

/** `npm run test:examples`: installs each example from its lockfile, for which it needs npm's registry, and uses it. */
export default defineConfig({
  test: {
    include: ['test/examples/**/*.test.ts'],
    globalSetup: ['test/setup/temporary-folder.ts'],
    setupFiles: ['test/setup/time-limits.ts'],
    maxWorkers: 1,
  },
});
