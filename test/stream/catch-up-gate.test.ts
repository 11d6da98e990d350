// The gate of catch-ups: a few readers at the same time, in the order of their arrival, without delaying live tokens.
import { describe, expect, test } from 'vitest';
import { CATCH_UPS_MAX, CATCH_UPS_WAITING_MAX, CatchUpGate } from '../../src/stream/catch-up-gate.ts';

const never = new AbortController().signal;

async function full(): Promise<CatchUpGate> {
  const gate = new CatchUpGate();
  for (let i = 0; i < CATCH_UPS_MAX; i++) expect(await gate.enter('ann', never)).toBe(true);
  return gate;
}

describe('CatchUpGate', () => {
  test('admits the waiting readers one by one in the order of arrival when slots become free', async () => {
    const gate = await full();
    const order: number[] = [];
    const turns = Array.from({ length: 20 }, async (_, i) => {
      expect(await gate.enter('ann', never)).toBe(true);
      order.push(i);
      gate.leave('ann');
    });
    expect(order).toEqual([]);
    gate.leave('ann');
    await Promise.all(turns);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test('turns the event loop once when it admits one waiting reader after another', async () => {
    const gate = await full();
    const story: string[] = [];
    const turns = ['first', 'second'].map(async (name) => {
      await gate.enter('ann', never);
      story.push(name);
      setImmediate(() => story.push('a live token'));
      gate.leave('ann');
    });
    gate.leave('ann');
    await Promise.all(turns);
    expect(story).toEqual(['first', 'a live token', 'second']);
  });

  test('drops a waiting reader and keeps its slots when its signal aborts', async () => {
    const gate = await full();
    const [left, stayed] = [new AbortController(), new AbortController()];
    const gone = gate.enter('ann', left.signal);
    const next = gate.enter('ann', stayed.signal);
    left.abort();
    expect(await gone).toBe(false);
    gate.leave('ann');
    expect(await next).toBe(true);
    expect(await gate.enter('ann', left.signal)).toBe(false);
    for (let i = 0; i < CATCH_UPS_MAX; i++) gate.leave('ann');
    expect(await Promise.all(Array.from({ length: CATCH_UPS_MAX }, () => gate.enter('ann', never)))).not.toContain(
      false,
    );
  });

  test('is crowded when the allowed number of readers waits, and not before', async () => {
    const gate = await full();
    const leaving = new AbortController();
    const waiting = Array.from({ length: CATCH_UPS_WAITING_MAX - 1 }, () => gate.enter('ann', never));
    expect(gate.isCrowded).toBe(false);
    const last = gate.enter('ann', leaving.signal);
    expect(gate.isCrowded).toBe(true);
    leaving.abort();
    await last;
    expect(gate.isCrowded).toBe(false);
    expect(waiting).toHaveLength(CATCH_UPS_WAITING_MAX - 1);
  });
});
