// Proves the checker: each planted bug is found, by a rule that fits it, within a bounded number of worlds.
import { describe, expect, it, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import type { Plant } from './plant.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { runWorld } from './world.ts';

/** The index of the engine uses threads, so the seed that shows a bug can differ between an idle and a busy machine.
 *  The rarest bug, `torn-tail-kept`, shows in about one world of 30. */
const SEEDS_MAX = 300;
/** Real milliseconds after which a world that a bug has brought to a halt is given up. */
const PATIENCE_MS = 1500;
/** Short worlds: a bug that shows at all shows early. */
const STEPS_MAX = 60;

/** Runs wait only where the bug wants it: a bug of something else shows sooner without waits. */
function inShortWorlds(plant: Plant): Plant {
  return {
    ...plant,
    plan: (plan) => {
      const plain = { ...plan, asking: 0, weights: { ...plan.weights, answer: 0 } };
      const wanted = plant.plan?.(plain) ?? plain;
      return { ...wanted, steps: Math.min(wanted.steps, STEPS_MAX) };
    },
  };
}

vi.setConfig({ testTimeout: timeLimit(120_000) });

describe('the checker finds', () => {
  it.each(PLANTED_BUGS)('$name', async ({ name, breaks, plant }) => {
    const planted = inShortWorlds(plant());
    const found = new Set<string>();
    for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
      const { violations } = await runWorld(seed, planted, PATIENCE_MS);
      for (const { code } of violations) found.add(code);
      const fitting = violations.find(({ code }) => breaks.includes(code));
      if (process.env['VERBOSE'] !== undefined && fitting !== undefined)
        console.log(`${name}: ${seed} seeds, ${fitting.code}: ${fitting.text}`);
      if (fitting !== undefined) return;
    }
    expect.fail(`${name} was not found in ${SEEDS_MAX} worlds; they broke: ${[...found].join(', ') || 'nothing'}`);
  });
});
