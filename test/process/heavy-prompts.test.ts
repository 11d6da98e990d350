// The short form of load/heavy-prompts.ts: no time is judged, only that the prompts arrive whole, that the log holds
// none of them, that other chats lose nothing meanwhile, and that nothing is left after the chats are deleted.
import { expect, it, vi } from 'vitest';
import { heavyPrompts } from '../../load/heavy-prompts.ts';
import { timeLimit } from '../support/slowness.ts';

vi.setConfig({ testTimeout: timeLimit(90_000) });

it('heavy prompts › reach the model whole beside chats that stream, and are erased with their chats', async () => {
  const figures = await heavyPrompts({ prompts: 3, mib: 16, chats: 5, atOnce: 2, quietMs: 500 });
  expect(figures.broken, JSON.stringify(figures)).toEqual([]);
  expect(figures.meanwhile.tokens).toBeGreaterThan(0);
});
