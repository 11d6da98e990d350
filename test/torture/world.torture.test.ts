// The long form of test/worlds/world.test.ts: many worlds. The seed differs each time unless it is given.
// WORLD_SEED=<first> WORLD_COUNT=<how many> npm run torture
import { describe, expect, it } from 'vitest';
import type { Plant } from '../worlds/plant.ts';
import { describeViolations } from '../worlds/violation.ts';
import { runWorld } from '../worlds/world.ts';

const FIRST = Number(process.env['WORLD_SEED'] ?? Math.floor(Math.random() * 1e9));
const COUNT = Number(process.env['WORLD_COUNT'] ?? 1000);
/** One world in this many is a long one. */
const LONG_EVERY = 10;
const LONG: Plant = { plan: (plan) => ({ ...plan, steps: plan.steps * 5, tokensMax: plan.tokensMax * 3 }) };
/** Seeds between two lines of the report. */
const REPORT_EVERY = 100;

describe('many worlds', () => {
  it(`lose nothing: ${COUNT} seeds from ${FIRST}`, async () => {
    const bad: string[] = [];
    const seen = { observations: 0, crashes: 0, answers: 0 };
    for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
      const { violations, history } = await runWorld(seed, seed % LONG_EVERY === 0 ? LONG : {});
      seen.observations += history.length;
      seen.crashes += history.filter(({ kind }) => kind === 'crash').length;
      seen.answers += history.filter(({ kind }) => kind === 'sent').length;
      if (violations.length > 0) bad.push(`seed ${seed}\n${describeViolations(violations)}`);
      if (violations.length > 0) console.log(bad.at(-1));
      if ((seed + 1 - FIRST) % REPORT_EVERY === 0)
        console.log(
          `${seed + 1 - FIRST} of ${COUNT} worlds from seed ${FIRST}: ${bad.length} bad, ${JSON.stringify(seen)}`,
        );
    }
    expect(bad).toEqual([]);
  });
});
