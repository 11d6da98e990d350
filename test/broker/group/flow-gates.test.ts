// Limits of flows in the pure schedule: what is above a limit waits, is served when the limit allows it, and counts
// for no other flow's order.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FIRST_GUESS } from '../../../src/broker/group/fair-class.ts';
import { DEBT_MS_MAX } from '../../../src/broker/group/flow-gate.ts';
import { FlowGates, RESTING_GATES_MAX } from '../../../src/broker/group/flow-gates.ts';
import { Schedule } from '../../../src/broker/group/schedule.ts';
import type { FlowPolicy } from '../../../src/broker/flow-policy.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Work {
  readonly flow: string;
  readonly id: number;
}

function setUp(policies: Record<string, FlowPolicy>) {
  const clock = new ManualClock();
  const gates = new FlowGates(clock, (flow) => policies[flow] ?? {});
  let ready = 0;
  const schedule = new Schedule<Work>({ limits: gates.limitsOf('g'), onReady: () => (ready += 1) });
  let ids = 0;
  const fill = (flow: string, count: number): void => {
    for (let i = 0; i < count; i += 1) schedule.add({ flow, id: (ids += 1) }, flow, 'normal', clock.mono());
  };
  const take = (): Work | undefined => schedule.take(clock.mono());
  const takeAll = (): Work[] => {
    const taken: Work[] = [];
    for (let one = take(); one !== undefined; one = take()) taken.push(one);
    return taken;
  };
  const settle = (item: Work, tokens?: number): void => {
    if (tokens !== undefined) schedule.charge(item, tokens, clock.mono());
    schedule.settle(item, clock.mono());
  };
  return { clock, gates, schedule, fill, take, takeAll, settle, onReady: () => ready };
}

describe('a limit on deliveries at once', () => {
  test('holds at every step, on every level, and leaves nothing waiting that may be served', () => {
    const step = fc.record({
      what: fc.constantFrom('add', 'take', 'settle'),
      flow: fc.nat({ max: 5 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const caps: Record<string, number> = { t0: 2, t1: 3, 't0/u0': 1, 't1/u1': 2 };
        const policies = Object.fromEntries(Object.entries(caps).map(([flow, concurrent]) => [flow, { concurrent }]));
        const { fill, take, settle } = setUp(policies);
        const held: Work[] = [];
        const waiting = new Map<string, number>();
        const count = (items: readonly Work[], path: string): number =>
          items.filter(({ flow }) => flow === path || flow.startsWith(`${path}/`)).length;
        const isFull = (flow: string): boolean =>
          Object.entries(caps).some(([path, cap]) => `${flow}/`.startsWith(`${path}/`) && count(held, path) >= cap);
        for (const { what, flow, pick } of steps) {
          const path = `t${flow % 2}/u${flow >> 1}/s`;
          if (what === 'add') {
            fill(path, 1);
            waiting.set(path, (waiting.get(path) ?? 0) + 1);
          } else if (what === 'take') {
            const taken = take();
            const open = [...waiting].filter(([one, left]) => left > 0 && !isFull(one));
            expect(taken === undefined).toBe(open.length === 0);
            if (taken === undefined) continue;
            expect(isFull(taken.flow)).toBe(false);
            held.push(taken);
            waiting.set(taken.flow, (waiting.get(taken.flow) ?? 0) - 1);
          } else if (held.length > 0) {
            const [done] = held.splice(pick % held.length, 1);
            if (done !== undefined) settle(done, pick % 3000);
          }
        }
      }),
    );
  });

  test('leaves the order of the flows that are not at theirs alone', () => {
    const { fill, takeAll, settle } = setUp({ capped: { concurrent: 1 } });
    fill('capped', 100);
    fill('a', 10);
    fill('b', 10);
    const order = takeAll().map(({ flow }) => flow);
    expect(order.filter((flow) => flow === 'capped')).toHaveLength(1);
    expect(Math.abs(order.slice(0, 11).filter((flow) => flow === 'a').length - 5)).toBeLessThanOrEqual(1);
    settle({ flow: 'unknown', id: 0 });
  });

  test('says when its flow may be served again, and only then', () => {
    const { fill, takeAll, settle, onReady } = setUp({ capped: { concurrent: 1 } });
    fill('capped', 2);
    const [held] = takeAll();
    expect(onReady()).toBe(0);
    if (held !== undefined) settle(held, 100);
    expect(onReady()).toBe(1);
    expect(takeAll()).toHaveLength(1);
  });

  test('does not make its flow wait longer for what it could not be served', () => {
    const { fill, takeAll, take, settle } = setUp({ capped: { concurrent: 1 } });
    fill('capped', 3);
    fill('other', 300);
    let [first] = takeAll().filter(({ flow }) => flow === 'capped');
    for (let i = 0; i < 2; i += 1) {
      if (first === undefined) throw new Error('not served');
      settle(first, FIRST_GUESS);
      fill('other', 3);
      const next = [take(), take()];
      first = next.find((one) => one?.flow === 'capped');
    }
    expect(first?.flow).toBe('capped');
  });

  test('of a hundred thousand waiting parks the flow once, and costs the others nothing', () => {
    const { fill, takeAll, schedule } = setUp({ huge: { concurrent: 2 } });
    fill('huge/u/s', 100_000);
    fill('small/u/s', 10);
    expect(takeAll()).toHaveLength(12);
    expect(takeAll()).toHaveLength(0);
    expect(schedule.size).toBe(99_998);
    // One that waits behind none of them.
    fill('late/u/s', 1);
    expect(takeAll().map(({ flow }) => flow)).toEqual(['late/u/s']);
  });

  test('is not counted among those ahead of another flow', () => {
    const { fill, takeAll, schedule, clock } = setUp({ high: { concurrent: 1 } });
    for (let i = 0; i < 50; i += 1) schedule.add({ flow: 'high', id: -i }, 'high', 'high', clock.mono());
    expect(takeAll()).toHaveLength(1);
    const item = { flow: 'other', id: 1000 };
    schedule.add(item, 'other', 'normal', clock.mono());
    fill('another', 1);
    expect(schedule.countBefore([item], clock.mono()).get(item)?.ahead).toBe(0);
  });
});

describe('a limit that groups share', () => {
  /** Two groups that serve what is ready. */
  function twoGroups() {
    const gates = new FlowGates(new ManualClock(), () => ({ concurrent: 1, pool: 'all' }));
    const order: { readonly group: string; readonly end: () => void; readonly id: number }[] = [];
    const newGroup = (group: string): Schedule<number> => {
      const serve = (): void => {
        for (let id = schedule.take(0); id !== undefined; id = schedule.take(0)) {
          const taken = id;
          order.push({ group, id, end: () => schedule.settle(taken, 0) });
        }
      };
      const schedule: Schedule<number> = new Schedule<number>({
        limits: gates.limitsOf(group),
        onReady: () => queueMicrotask(serve),
      });
      return schedule;
    };
    return { one: newGroup('one'), other: newGroup('other'), order };
  }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('is shared by turns: a group with much waiting does not take every place', async () => {
    const { one, other, order } = twoGroups();
    for (let id = 0; id < 20; id += 1) {
      one.add(id, 'f', 'normal', 0);
      other.add(id, 'f', 'normal', 0);
    }
    const first = one.take(0);
    expect([one.take(0), other.take(0)]).toEqual([undefined, undefined]);
    if (first !== undefined) one.settle(first, 0);
    for (let i = 0; i < 10; i += 1) {
      await settled();
      expect(order).toHaveLength(i + 1);
      order.at(-1)?.end();
    }
    expect(order.filter(({ group }) => group === 'one')).toHaveLength(5);
  });

  test('leaves the order of priorities inside a group as it is', async () => {
    const { one, order } = twoGroups();
    one.add(0, 'f', 'normal', 0);
    const first = one.take(0);
    one.add(1, 'f', 'low', 0);
    expect(one.take(0)).toBeUndefined();
    one.add(2, 'f', 'high', 0);
    expect(one.take(0)).toBeUndefined();
    if (first !== undefined) one.settle(first, 0);
    await settled();
    expect(order.map(({ id }) => id)).toEqual([2]);
  });
});

describe('a bucket of deliveries', () => {
  test('lets no more through in any span of time than its burst and what comes in', async () => {
    const waits = fc.array(fc.nat({ max: 3000 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(waits, fc.integer({ min: 1, max: 5 }), async (steps, burst) => {
        const { clock, fill, takeAll, settle } = setUp({ shaped: { deliveryRate: { perSecond: 2, burst } } });
        const at: number[] = [];
        fill('shaped', 200);
        for (const wait of steps) {
          for (const item of takeAll()) {
            at.push(clock.mono());
            settle(item, 100);
          }
          await clock.advance(wait);
        }
        for (const [i, from] of at.entries())
          for (const [k, to] of at.entries())
            if (k >= i) expect(k - i + 1).toBeLessThanOrEqual(burst + ((to - from) * 2) / 1000 + 1e-6);
      }),
      { numRuns: 50 },
    );
  });

  test('is filled once: after a long pause it holds its burst and no more', async () => {
    const { clock, fill, takeAll } = setUp({ shaped: { deliveryRate: { perSecond: 1, burst: 3 } } });
    fill('shaped', 20);
    expect(takeAll()).toHaveLength(3);
    await clock.advance(60_000);
    expect(takeAll()).toHaveLength(3);
    await clock.advance(1000);
    expect(takeAll()).toHaveLength(1);
  });

  test('gets back what was taken for a delivery that was not made', () => {
    const { clock, fill, take, schedule } = setUp({ shaped: { deliveryRate: { perSecond: 1, burst: 1 } } });
    fill('shaped', 2);
    const taken = take();
    if (taken === undefined) throw new Error('nothing was taken');
    schedule.settle(taken, clock.mono(), 'unused');
    expect(take()?.flow).toBe('shaped');
    expect(take()).toBeUndefined();
  });

  test('is remembered while its flow has nothing waiting', async () => {
    const { clock, gates, fill, takeAll, settle } = setUp({ shaped: { deliveryRate: { perSecond: 1, burst: 2 } } });
    fill('shaped', 2);
    for (const item of takeAll()) settle(item, 100);
    fill('shaped', 2);
    expect(takeAll()).toHaveLength(0);
    await clock.advance(1000);
    for (const item of takeAll()) settle(item, 100);
    await clock.advance(1000);
    for (const item of takeAll()) settle(item, 100);
    await clock.advance(2000);
    expect(gates.size).toBe(0);
  });

  test('of very many flows without anything waiting are forgotten, the oldest first', () => {
    const clock = new ManualClock();
    const gates = new FlowGates(clock, (flow) => (flow === '' ? {} : { deliveryRate: { perSecond: 0.001, burst: 1 } }));
    const schedule = new Schedule<number>({ limits: gates.limitsOf('g') });
    for (let i = 0; i < RESTING_GATES_MAX + 100; i += 1) {
      schedule.add(i, `f${i}`, 'normal', 0);
      schedule.take(clock.mono());
      schedule.settle(i, clock.mono());
    }
    expect(gates.size).toBe(RESTING_GATES_MAX);
  });
});

describe('a bucket of model tokens', () => {
  test('counts what was used, the guess corrected', async () => {
    const { clock, fill, takeAll, settle } = setUp({ shaped: { tokenRate: { perSecond: 1000, burst: 2000 } } });
    const costs = [16, 5000, 100, 3000, 3000, 16, 900, 4000, 700, 1200, 5000, 16, 16, 2500, 800];
    fill('shaped', 100 * costs.length);
    let used = 0;
    const begun = clock.mono();
    for (const cost of costs) {
      let taken = takeAll();
      for (; taken.length === 0; taken = takeAll()) await clock.advance(500);
      for (const one of taken) {
        used += cost;
        settle(one, cost);
      }
      // What came in, the burst, and what the deliveries used that began while a token was left.
      expect(used).toBeLessThanOrEqual(clock.mono() - begun + 2000 + taken.length * cost);
    }
    // Nothing is held back for longer than the rate says.
    expect(clock.mono() - begun).toBeLessThanOrEqual(used);
    expect(used).toBeGreaterThan(10_000);
  });

  test('is not in debt for longer than an hour, whatever a delivery reports', async () => {
    const { clock, fill, takeAll, settle } = setUp({ shaped: { tokenRate: { perSecond: 1, burst: 1 } } });
    fill('shaped', 2);
    for (const item of takeAll()) settle(item, 10_000_000);
    await clock.advance(DEBT_MS_MAX + 1000);
    expect(takeAll()).toHaveLength(1);
  });

  test('does not change when the wall clock jumps an hour', async () => {
    const { clock, fill, takeAll } = setUp({ shaped: { deliveryRate: { perSecond: 1, burst: 1 } } });
    fill('shaped', 5);
    expect(takeAll()).toHaveLength(1);
    clock.jumpWall(3_600_000);
    expect(takeAll()).toHaveLength(0);
    clock.jumpWall(-7_200_000);
    await clock.advance(1000);
    expect(takeAll()).toHaveLength(1);
  });
});

describe('a limit of the group itself', () => {
  test('holds for all flows together', async () => {
    const { clock, fill, takeAll } = setUp({ '': { deliveryRate: { perSecond: 1, burst: 2 } } });
    fill('a', 5);
    fill('b', 5);
    expect(takeAll().map(({ flow }) => flow)).toEqual(['a', 'b']);
    await clock.advance(2000);
    expect(takeAll().map(({ flow }) => flow)).toEqual(['a', 'b']);
  });
});
