// Small worlds with every kind of fault: the checker finds no violation. `npm run torture` runs many more of them. A
// seed that failed there can be repeated with `WORLD_SEED=<seed> npx vitest run test/worlds/world.test.ts`.
import { describe, expect, it } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import type { Observation } from './history.ts';
import { describeViolations } from './violation.ts';
import { runWorld } from './world.ts';

const SEEDS = 24;
const [FIRST, COUNT] = process.env['WORLD_SEED'] === undefined ? [1, SEEDS] : [Number(process.env['WORLD_SEED']), 1];

/** Adds worlds, up to this multiple, until everything of SUFFERED has happened once. */
const MORE = 4;
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
  'run.resumed',
  'answered',
  'refused already-answered',
  'input.closed expired',
  'input.closed cancelled',
];

describe('a world with faults, after it is healed', () => {
  it(
    `has lost nothing, doubled nothing and invented nothing, for ${COUNT} seeds`,
    async () => {
      const kinds = new Set<string>();
      // The index of the engine uses threads, so chance may leave one out.
      const missing = (): readonly string[] => (COUNT === SEEDS ? SUFFERED.filter((kind) => !kinds.has(kind)) : []);
      for (let seed = FIRST; seed < FIRST + COUNT || (missing().length > 0 && seed < FIRST + MORE * COUNT); seed += 1) {
        const { history, violations } = await runWorld(seed);
        expect(violations, `WORLD_SEED=${seed}\n${describeViolations(violations)}`).toEqual([]);
        for (const observation of history) for (const kind of kindsOf(observation)) kinds.add(kind);
      }
      expect(missing()).toEqual([]);
    },
    timeLimit(120_000),
  );
});

function kindsOf(observation: Observation): string[] {
  const { kind } = observation;
  if (kind === 'event') return [observation.type, `${observation.type} ${String(observation.data['reason'])}`];
  if (kind === 'crash') return [`crash ${observation.what}`];
  if (kind === 'refused') return [kind, `refused ${observation.code}`];
  return [kind === 'end' ? `end ${observation.reason}` : kind];
}
