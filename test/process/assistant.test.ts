// The short form of load/assistant.ts: readers on both wires that come and go, while gateways and workers are killed
// and come back. The history checker judges; no time is judged.
import { expect, it, vi } from 'vitest';
import { assistant } from '../../load/assistant.ts';
import { slowed, timeLimit } from '../support/slowness.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000) });

it('an assistant with many readers whose nodes die › loses nothing, says nothing twice, and keeps the order', async () => {
  const size = { connections: 64, kills: 2, chats: 8, talking: 3, crowds: 1, promptsAKill: 4 };
  const figures = await assistant({ ...size, leaseMs: slowed(1_000), deadMs: 0 });
  expect(figures.broken.join('\n')).toBe('');
  expect(figures).toMatchObject({ connected: size.connections, kills: size.kills, violations: 0 });
});
