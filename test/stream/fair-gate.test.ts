// The gate serves users in turn, however many operations each of them has waiting.
import { describe, expect, it } from 'vitest';
import { FairGate } from '../../src/stream/fair-gate.ts';

const never = new AbortController().signal;
const LIMITS = { insideMax: 4, insidePerUserMax: 2, waitingMax: 100, waitingPerUserMax: 10 };

/** Returns a function that enters as a user, and records the users in the order of their admission. */
function comers(gate: FairGate, order: string[]): (user: string) => Promise<boolean> {
  return async (user) => {
    const isIn = await gate.enter(user, never);
    order.push(user);
    return isIn;
  };
}

async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
}

describe('FairGate', () => {
  it('admits other users when one user is at its limit', async () => {
    const gate = new FairGate(LIMITS);
    const order: string[] = [];
    const come = comers(gate, order);
    for (const user of ['mallory', 'mallory', 'mallory', 'mallory', 'ann', 'bob']) void come(user);
    await settled();
    expect(order).toEqual(['mallory', 'mallory', 'ann', 'bob']);
    gate.leave('mallory');
    await settled();
    expect(order).toEqual(['mallory', 'mallory', 'ann', 'bob', 'mallory']);
  });

  it('admits the one operation of a user first when another user has many waiting', async () => {
    const gate = new FairGate({ ...LIMITS, insideMax: 1 });
    const order: string[] = [];
    const come = comers(gate, order);
    for (let i = 0; i < 9; i += 1) void come('mallory');
    for (const user of ['ann', 'bob', 'ann']) void come(user);
    for (let i = 0; i < 11; i += 1) {
      await settled();
      gate.leave(order.at(-1) ?? '');
    }
    await settled();
    expect(order.slice(0, 6)).toEqual(['mallory', 'mallory', 'ann', 'bob', 'mallory', 'ann']);
    expect(order).toHaveLength(12);
  });

  it('reports a crowded user and a crowded gate when the limits are reached', async () => {
    const gate = new FairGate({ ...LIMITS, insideMax: 1, waitingMax: 12 });
    const leaving = new AbortController();
    for (let i = 0; i < 11; i += 1) void gate.enter('mallory', leaving.signal);
    expect([gate.isCrowdedBy('mallory'), gate.isCrowdedBy('ann'), gate.isCrowded]).toEqual([true, false, false]);
    for (let i = 0; i < 2; i += 1) void gate.enter('ann', leaving.signal);
    expect(gate.isCrowded).toBe(true);
    leaving.abort();
    expect([gate.isCrowdedBy('mallory'), gate.isCrowded]).toEqual([false, false]);
  });
});
