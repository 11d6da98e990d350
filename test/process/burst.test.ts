// The short form of load/burst.ts on each engine: a model server with eight slots, and tenants that send more than it
// can answer. No time is judged: only shares, order, and that every prompt is answered once.
import { expect, it, vi } from 'vitest';
import { burst } from '../../load/burst.ts';
import { timeLimit } from '../support/slowness.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(90_000) });

it.each([
  ['embedded', 1],
  ['redis', 2],
] as const)(
  'a burst of many tenants › is refused nowhere, shared fairly in tokens, and answered once: %s, %i workers',
  async (engine, workers) => {
    const plan = { tenants: 24, seconds: 3, slots: 8, tokensPerSecond: 400, answerTokens: 16, overload: 2 } as const;
    const figures = await burst({ ...plan, engine, workers, judgesTime: false });
    expect(figures.broken, JSON.stringify(figures)).toEqual([]);
    expect(figures.answered).toBe(figures.prompts);
    expect(figures.high.prompts).toBeGreaterThan(0);
    expect(figures.positions.watched).toBeGreaterThan(0);
  },
);
