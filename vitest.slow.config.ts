import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';
import { SlowOrder } from './test/setup/slow-order.ts';
import { SLOW_TESTS } from './vitest.fast.config.ts';

/** What `npm run test:fast` leaves out. Each file has modules of its own. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: SLOW_TESTS.map((pattern) => (pattern.endsWith('/**') ? `${pattern}/*.test.ts` : pattern)),
    sequence: { sequencer: SlowOrder },
  },
});
