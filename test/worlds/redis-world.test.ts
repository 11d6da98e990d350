// Worlds with nodes of their own on a real Redis, which is killed, flushed, filled and cut off: the checker finds no
// violation, and finds each bug that is planted into the engine.
// One seed alone: `WORLD_SEED=<seed> npx vitest run test/worlds/redis-world.test.ts`.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { PLANTED_REDIS_BUGS } from './planted-redis.ts';
import { RedisMachine } from './redis-machine.ts';
import { describeViolations } from './violation.ts';
import { runWorld } from './world.ts';

const SEEDS = Number(process.env['WORLD_COUNT'] ?? 24);
const [FIRST, COUNT] = process.env['WORLD_SEED'] === undefined ? [1, SEEDS] : [Number(process.env['WORLD_SEED']), 1];
/** Adds worlds, up to this multiple, until every fault has happened once. */
const MORE = 4;
const SUFFERED = ['crash redis', 'crash flush', 'refused', 'unknown', 'reset'];
const PATIENCE_MS = timeLimit(20_000);
const PLANTED_SEEDS_MAX = 20;
/** Real milliseconds after which a world that a bug has brought to a halt is given up. */
const PLANTED_PATIENCE_MS = 1500;

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ appendfsync: 'always' });
});
afterAll(() => server.close());

describe('a world on Redis with faults, after it is healed', () => {
  it(
    `loses only what was flushed, and declares that loss, for ${COUNT} seeds`,
    async () => {
      const seen = new Set<string>();
      // When a fault happens depends on the real server too, so chance alone may leave one out.
      const isMissing = (): boolean => COUNT === SEEDS && SUFFERED.some((one) => !seen.has(one));
      for (let seed = FIRST; seed < FIRST + COUNT || (isMissing() && seed < FIRST + MORE * COUNT); seed += 1) {
        const { history, violations } = await runWorld(seed, {}, PATIENCE_MS, RedisMachine.on(server));
        expect(violations, `WORLD_SEED=${seed}\n${describeViolations(violations)}`).toEqual([]);
        for (const observation of history)
          seen.add(observation.kind === 'crash' ? `crash ${observation.what}` : observation.kind);
      }
      if (COUNT === SEEDS) expect([...seen]).toEqual(expect.arrayContaining(SUFFERED));
    },
    timeLimit(300_000),
  );
});

describe('the checker finds on Redis', () => {
  it.each(PLANTED_REDIS_BUGS)(
    '$name',
    async ({ name, breaks, plant }) => {
      const found = new Set<string>();
      for (let seed = 1; seed <= PLANTED_SEEDS_MAX; seed += 1) {
        const { violations } = await runWorld(seed, plant(), PLANTED_PATIENCE_MS, RedisMachine.on(server));
        for (const { code } of violations) found.add(code);
        if (violations.some(({ code }) => breaks.includes(code))) return;
      }
      expect.fail(
        `${name} was not found in ${PLANTED_SEEDS_MAX} worlds; they broke: ${[...found].join(', ') || 'nothing'}`,
      );
    },
    timeLimit(120_000),
  );
});
