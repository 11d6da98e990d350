// The short form of load/orchestration.ts: three levels of agents on Redis, whose workers are killed while they ask
// each other. No time is judged: only ends, answers, attempts and topics.
import { expect, it, vi } from 'vitest';
import { orchestration } from '../../load/orchestration.ts';
import { slowed, timeLimit } from '../support/slowness.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000) });

it('agents of three levels that restart and time out › end each task once, whole or with a clear failure', async () => {
  const plan = { tasks: 7, atOnce: 7, kills: 1, leaseMs: slowed(1_000), patienceMs: slowed(5_000) };
  const figures = await orchestration(plan);
  expect(figures.broken, JSON.stringify(figures)).toEqual([]);
  expect(figures).toMatchObject({ tasks: 7, kills: 1, orphans: 0 });
});
