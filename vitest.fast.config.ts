import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** What `vitest.slow.config.ts` runs. */
export const SLOW_TESTS = [
  // Real processes, browsers and the package.
  'test/{process,browser,package}/**',
  // A real Redis.
  'test/broker/redis/**',
  'test/broker/contract/redis.test.ts',
  'test/session/user-limits.test.ts',
  'test/worlds/redis-world.test.ts',
  'test/durable-streams/{engines,forks}.test.ts',
  // Seeded worlds, crashes and every engine's contract on a real disk: minutes.
  'test/worlds/{world,planted-bugs}.test.ts',
  'test/broker/contract/log.test.ts',
  'test/broker/log/{crash,recovery,memory,descriptors}.test.ts',
  'test/cases/**',
  'test/gateway/{unread-replies,crowded}.test.ts',
  // Waits for streams that expire.
  'test/wires/durable-streams/conformance.test.ts',
  // Blocks a core on purpose.
  'test/sdk/block-watch.test.ts',
  // They replace a module of the gateway, which does nothing once another file has imported it.
  'test/wires/matrix-routes.test.ts',
  'test/gateway/large-bodies.test.ts',
];

/** `npm run test:fast`: what needs neither Redis, nor a browser, nor nginx, nor minutes. The gate runs the others, and
 *  then these. */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      // The files of a worker share the modules that they import. With modules of its own, each file takes 0.4 s of
      // CPU more, which is a third of what these tests take.
      isolate: false,
      exclude: SLOW_TESTS,
    },
  }),
);
