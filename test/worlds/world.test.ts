// Small worlds with every kind of fault: the checker finds no violation. `npm run torture` runs many more of them. A
// seed that failed there can be repeated with `WORLD_SEED=<seed> npx vitest run test/worlds/world.test.ts`.
import { describe, expect, it } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import type { Observation } from './history.ts';
import { describeViolations } from './violation.ts';
import { runWorld } from './world.ts';

const SEEDS = 24;
const [FIRST, COUNT] = process.env['WORLD_SEED'] === undefined ? [1, SEEDS] : [Number(process.env['WORLD_SEED']), 1];

/** What must have happened in at least one of the worlds; otherwise they prove less than they seem to. */
const SUFFERED = [
  'crash kill',
  'crash power',
  'refused',
  'unknown',
  'reset',
  'end cut',
  'end removed',
  'run.restarted',
  'run.cancelled',
  'run.failed',
  'run.completed',
];

describe('a world with faults, after it is healed', () => {
  it(
    `has lost nothing, doubled nothing and invented nothing, for ${COUNT} seeds`,
    async () => {
      const kinds = new Set<string>();
      for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
        const { history, violations } = await runWorld(seed);
        expect(violations, `WORLD_SEED=${seed}\n${describeViolations(violations)}`).toEqual([]);
        for (const observation of history) kinds.add(kindOf(observation));
      }
      if (COUNT === SEEDS) expect([...kinds]).toEqual(expect.arrayContaining(SUFFERED));
    },
    timeLimit(120_000),
  );
});

function kindOf(observation: Observation): string {
  if (observation.kind === 'event') return observation.type;
  if (observation.kind === 'crash') return `crash ${observation.what}`;
  return observation.kind === 'end' ? `end ${observation.reason}` : observation.kind;
}
