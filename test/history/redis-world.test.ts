// The same worlds with nodes of their own on a real Redis, which is killed, flushed, filled and cut off: the checker
// finds nothing, and finds each bug that one could build into an engine on Redis.
// One seed alone: `WORLD_SEED=<seed> npx vitest run test/history/redis-world.test.ts`.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisServer } from '../helpers/redis-server.ts';
import { RedisMachine } from './redis-machine.ts';
import { describeViolations } from './violation.ts';
import { runWorld } from './world.ts';

const SEEDS = Number(process.env['WORLD_COUNT'] ?? 12);
const [FIRST, COUNT] = process.env['WORLD_SEED'] === undefined ? [1, SEEDS] : [Number(process.env['WORLD_SEED']), 1];
const PATIENCE_MS = 20_000;

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ appendfsync: 'always' });
});
afterAll(() => server.close());

describe('a world on Redis that suffers and is healed', () => {
  it(`loses nothing but what was flushed, and says so, for ${COUNT} seeds`, async () => {
    const seen = new Set<string>();
    for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
      const { history, violations } = await runWorld(seed, {}, PATIENCE_MS, RedisMachine.on(server));
      expect(violations, `WORLD_SEED=${seed}\n${describeViolations(violations)}`).toEqual([]);
      for (const observation of history) seen.add(observation.kind === 'crash' ? `crash ${observation.what}` : observation.kind);
    }
    if (COUNT === SEEDS) expect([...seen]).toEqual(expect.arrayContaining(['crash redis', 'crash flush', 'refused', 'unknown', 'reset']));
  }, 300_000);
});
