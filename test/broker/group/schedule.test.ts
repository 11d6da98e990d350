// The fair order, as properties of the pure structure. Virtual slots serve what is taken; no clock runs.
import fc from 'fast-check';
import type { QueuePlace, FlowPolicyOf } from '../../../src/broker/flow-policy.ts';
import { describe, expect, test } from 'vitest';
import type { Priority } from '../../../src/broker/broker.ts';
import { COST_MAX, COST_MIN, FIRST_GUESS, RESTING_FLOWS_MAX } from '../../../src/broker/group/fair-class.ts';
import { FlowGates, type FlowLimits } from '../../../src/broker/group/flow-gates.ts';
import { PASSED_OVER_MAX, PRIORITIES } from '../../../src/broker/group/ready-list.ts';
import { AGE_MS, Schedule } from '../../../src/broker/group/schedule.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Work {
  readonly flow: string;
  readonly id: number;
  readonly tokens: number;
}

function limitsOf(policyOf: FlowPolicyOf): FlowLimits {
  return new FlowGates(new ManualClock(), policyOf).limitsOf('g');
}

let ids = 0;
function work(flow: string, tokens: number): Work {
  return { flow, id: (ids += 1), tokens };
}

/** Adds `count` items of the flow. */
function fill(
  schedule: Schedule<Work>,
  flow: string,
  count: number,
  tokens: number,
  priority: Priority = 'normal',
): void {
  for (let i = 0; i < count; i += 1) schedule.add(work(flow, tokens), flow, priority, 0);
}

/** Takes the next item, and reports what it used at once. */
function serve(schedule: Schedule<Work>, now = 0): Work | undefined {
  const taken = schedule.take(now);
  if (taken === undefined) return undefined;
  schedule.charge(taken, taken.tokens, 0);
  schedule.settle(taken, 0);
  return taken;
}

function serveAll(schedule: Schedule<Work>, now = 0): Work[] {
  const served: Work[] = [];
  for (let one = serve(schedule, now); one !== undefined; one = serve(schedule, now)) served.push(one);
  return served;
}

/** Runs `slots` items at a time; each takes as long as it has tokens. Returns the tokens of each flow, once each flow
 *  that still waits has had many turns. */
function run(
  schedule: Schedule<Work>,
  slots: number,
  turns: number,
  onTaken: (flow: string) => void = () => undefined,
): Map<string, number> {
  const used = new Map<string, number>();
  const running: { readonly item: Work; readonly ends: number }[] = [];
  let now = 0;
  for (let i = 0; i < turns; i += 1) {
    while (running.length < slots) {
      const item = schedule.take(0);
      if (item === undefined) break;
      running.push({ item, ends: now + item.tokens });
      onTaken(item.flow);
    }
    running.sort((a, b) => a.ends - b.ends);
    const ended = running.shift();
    if (ended === undefined) break;
    now = ended.ends;
    schedule.charge(ended.item, ended.item.tokens, 0);
    schedule.settle(ended.item, 0);
    used.set(ended.item.flow, (used.get(ended.item.flow) ?? 0) + ended.item.tokens);
  }
  return used;
}

const COST = fc.integer({ min: COST_MIN, max: 2000 });

function ahead<T>(places: ReadonlyMap<T, QueuePlace>): ReadonlyMap<T, number> {
  return new Map([...places].map(([value, place]) => [value, place.ahead]));
}

describe('flows that wait', () => {
  test('get the same tokens within one turn of each, whatever their answers cost', () => {
    fc.assert(
      fc.property(fc.array(COST, { minLength: 2, maxLength: 6 }), fc.integer({ min: 1, max: 8 }), (costs, slots) => {
        const schedule = new Schedule<Work>();
        for (const [i, cost] of costs.entries()) fill(schedule, `f${i}`, 2000, cost);
        const used = run(schedule, slots, 1500);
        const amounts = costs.map((_, i) => used.get(`f${i}`) ?? 0);
        // Each slot may be one answer ahead; the first answers are taken by a guess.
        const turn = Math.max(FIRST_GUESS, ...costs) * (slots + 1);
        expect(Math.max(...amounts) - Math.min(...amounts)).toBeLessThanOrEqual(turn);
      }),
      { numRuns: 30 },
    );
  });

  test('get tokens in proportion to their weights', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 4 }), COST, (weights, cost) => {
        const schedule = new Schedule<Work>({ limits: limitsOf((flow) => ({ weight: weights[Number(flow)] ?? 1 })) });
        for (const i of weights.keys()) fill(schedule, `${i}`, 2000, cost);
        const used = run(schedule, 1, 600);
        const perWeight = weights.map((weight, i) => (used.get(`${i}`) ?? 0) / weight);
        expect(Math.max(...perWeight) - Math.min(...perWeight)).toBeLessThanOrEqual(2 * Math.max(FIRST_GUESS, cost));
      }),
      { numRuns: 30 },
    );
  });

  test('wait for no more than one turn of each other flow, however much those have waiting', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat({ max: 300 }), COST, (others, before, cost) => {
        const schedule = new Schedule<Work>();
        for (let i = 0; i < others; i += 1) fill(schedule, `heavy${i}`, 400, cost);
        for (let i = 0; i < before; i += 1) serve(schedule);
        schedule.add(work('late', cost), 'late', 'normal', 0);
        const order = serveAll(schedule).map(({ flow }) => flow);
        expect(order.indexOf('late')).toBeLessThanOrEqual(others);
      }),
      { numRuns: 50 },
    );
  });

  test('share free slots before anything is reported', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'a', 100, 500);
    fill(schedule, 'b', 100, 500);
    const taken = Array.from({ length: 100 }, () => schedule.take(0)?.flow);
    expect(taken.filter((flow) => flow === 'a')).toHaveLength(50);
  });
});

describe('flows inside a flow', () => {
  /** The flows of the next items. */
  const order = (schedule: Schedule<Work>, count: number): string[] =>
    Array.from({ length: count }, () => serve(schedule)?.flow ?? '');
  const share = (flows: readonly string[], prefix: string): number =>
    flows.filter((flow) => flow.startsWith(prefix)).length;

  test('share its turns: many users of one tenant get as much as one user of another', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), COST, (many, few, cost) => {
        const schedule = new Schedule<Work>();
        for (let i = 0; i < many; i += 1) fill(schedule, `many/u${i}/s`, 200, cost);
        for (let i = 0; i < few; i += 1) fill(schedule, `few/u${i}/s`, 200, cost);
        const flows = order(schedule, 200);
        // One answer more or less, and the first ones are taken by a guess.
        expect(Math.abs(share(flows, 'many/') - 100)).toBeLessThanOrEqual(1 + Math.ceil(FIRST_GUESS / cost));
      }),
      { numRuns: 30 },
    );
  });

  test('have their own order: a user with long answers gets a tenth of the turns of the other users', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 't/short/s', 1000, 100);
    fill(schedule, 't/long/s', 1000, 1000);
    fill(schedule, 'other/u/s', 1000, 100);
    const flows = order(schedule, 1100);
    // The tenant with both gets as many tokens as the other one: 2 turns of 1000, or 20 of 100, for 20 of the other.
    expect(share(flows, 't/short') / share(flows, 't/long')).toBeCloseTo(10, 0);
    expect(share(flows, 'other/')).toBeGreaterThan(600);
  });

  test('have weights of their own', () => {
    const schedule = new Schedule<Work>({
      limits: limitsOf((flow) => ({ weight: flow === 't/b' || flow === 'v' ? 3 : 1 })),
    });
    for (const flow of ['t/a/s', 't/b/s', 'v/a/s', 'v/b/s']) fill(schedule, flow, 400, 500);
    const flows = order(schedule, 320);
    expect(Math.abs(share(flows, 'v/') - 240)).toBeLessThanOrEqual(2);
    expect(Math.abs(share(flows, 't/b') - 60)).toBeLessThanOrEqual(2);
  });

  test('share free slots before anything is reported, each level by its guess', () => {
    const schedule = new Schedule<Work>();
    for (let i = 0; i < 9; i += 1) fill(schedule, `many/u${i}/s`, 50, 500);
    fill(schedule, 'one/u/s', 100, 500);
    const taken = Array.from({ length: 90 }, () => schedule.take(0)?.flow ?? '');
    expect(share(taken, 'one/')).toBe(45);
    expect(share(taken, 'many/u0')).toBe(5);
  });

  test('leave no record when nothing waits and nothing is held', () => {
    const schedule = new Schedule<Work>();
    for (let i = 0; i < 300; i += 1)
      schedule.add(work(`t${i % 3}/u${i % 7}/s${i}`, i), `t${i % 3}/u${i % 7}/s${i}`, 'normal', 0);
    serveAll(schedule);
    expect([schedule.size, schedule.flows]).toEqual([0, 0]);
  });

  test('are bounded in number, all levels together, also while one of them waits', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 't/u/first', 1, 500);
    const held = schedule.take(0);
    fill(schedule, 't/u/last', 1, 500);
    for (let i = 0; i < RESTING_FLOWS_MAX + 100; i += 1) {
      schedule.add(work(`t/u/s${i}`, 500), `t/u/s${i}`, 'normal', 0);
      serve(schedule);
    }
    if (held !== undefined) schedule.settle(held, 0);
    expect(schedule.flows).toBeLessThanOrEqual(RESTING_FLOWS_MAX + 4);
  });
});

describe('a flow that comes back', () => {
  test('gets the same tokens as one that always has items waiting, when it adds the next as soon as one is taken', () => {
    const schedule = new Schedule<Work>();
    const added = { full: 0, one: 0 };
    // Every second answer is long, so that most guesses are corrected while the flow's next item waits.
    const add = (flow: 'full' | 'one'): void => {
      added[flow] += 1;
      schedule.add(work(flow, added[flow] % 2 === 0 ? 2000 : 20), flow, 'normal', 0);
    };
    for (let i = 0; i < 2000; i += 1) add('full');
    add('one');
    const used = run(schedule, 8, 1500, (flow) => {
      if (flow === 'one') add('one');
    });
    expect(Math.abs((used.get('full') ?? 0) - (used.get('one') ?? 0))).toBeLessThanOrEqual(8 * 2000);
  });

  test('has earned nothing while it was idle', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), COST, (before, cost) => {
        const schedule = new Schedule<Work>();
        fill(schedule, 'steady', 1000, cost);
        for (let i = 0; i < before; i += 1) serve(schedule);
        fill(schedule, 'back', 500, cost);
        const order = Array.from({ length: 100 }, () => serve(schedule)?.flow);
        const share = order.filter((flow) => flow === 'back').length;
        // One answer more or less, and the first ones are taken by a guess.
        expect(Math.abs(share - 50)).toBeLessThanOrEqual(1 + Math.ceil(FIRST_GUESS / cost));
      }),
      { numRuns: 50 },
    );
  });

  test('owes nothing for what it used while no other flow waited', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'alone', 200, 2000);
    expect(serveAll(schedule)).toHaveLength(200);
    fill(schedule, 'alone', 10, 2000);
    fill(schedule, 'new', 10, 2000);
    expect(new Set([serve(schedule)?.flow, serve(schedule)?.flow])).toEqual(new Set(['alone', 'new']));
  });

  test('owes what it used while others waited, also after it had nothing waiting', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'steady', 1000, 100);
    for (let i = 0; i < 20; i += 1) serve(schedule);
    const order: string[] = [];
    for (let i = 0; i < 220; i += 1) {
      // One at a time: the next is sent when the last has ended.
      if (order.at(-1) !== 'steady') schedule.add(work('one', 2000), 'one', 'normal', 0);
      order.push(serve(schedule)?.flow ?? '');
    }
    expect(order.filter((flow) => flow === 'one').length).toBeLessThan(220 / 15);
  });
});

describe('a guess', () => {
  test('is corrected: a flow whose answers are ten times as long gets a tenth of the turns', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'short', 2000, 100);
    fill(schedule, 'long', 2000, 1000);
    const order = Array.from({ length: 1100 }, () => serve(schedule)?.flow);
    const long = order.filter((flow) => flow === 'long').length;
    expect(long).toBeGreaterThan(90);
    expect(long).toBeLessThan(110);
  });

  test('follows what the flow used: later slots are shared by tokens before anything is reported', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'short', 2000, 100);
    fill(schedule, 'long', 2000, 1000);
    for (let i = 0; i < 550; i += 1) serve(schedule);
    const taken = Array.from({ length: 110 }, () => schedule.take(0)?.flow);
    expect(taken.filter((flow) => flow === 'long').length).toBeLessThan(20);
  });

  test('stays the cost where nothing was reported, so that a topic that is given back again and again blocks no other', () => {
    const schedule = new Schedule<Work>();
    const poison = work('poison', 0);
    schedule.add(poison, 'poison', 'normal', 0);
    fill(schedule, 'other', 20, 500);
    for (let i = 0; i < 40; i += 1) {
      const taken = schedule.take(0);
      if (taken === undefined) break;
      schedule.settle(taken, 0);
      if (taken === poison) schedule.add(poison, 'poison', 'normal', 0);
    }
    expect(schedule.size).toBe(1);
  });

  test('is given back for a delivery that was not made', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'a', 3, 500);
    fill(schedule, 'b', 3, 100);
    const taken = schedule.take(0);
    if (taken === undefined) throw new Error('nothing was taken');
    schedule.settle(taken, 0, 'unused');
    expect([serve(schedule)?.flow, serve(schedule)?.flow, serve(schedule)?.flow]).toEqual(['b', 'a', 'b']);
  });

  test.each([-1, Number.NaN])('takes no report of %d', (tokens) => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'a', 10, 1);
    fill(schedule, 'b', 10, 1);
    const order: (string | undefined)[] = [];
    for (let i = 0; i < 20; i += 1) {
      const taken = schedule.take(0);
      if (taken === undefined) break;
      schedule.charge(taken, tokens, 0);
      schedule.settle(taken, 0);
      order.push(taken.flow);
    }
    expect(order.slice(0, 4).toSorted()).toEqual(['a', 'a', 'b', 'b']);
    expect(order).toHaveLength(20);
  });

  test('is at most COST_MAX after a report beyond all measure', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'endless', 10, Infinity);
    fill(schedule, 'other', 10, COST_MAX);
    const order = Array.from({ length: 10 }, () => serve(schedule)?.flow);
    expect(order.filter((flow) => flow === 'endless')).toHaveLength(5);
  });

  test('is at least COST_MIN after a report of less', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'free', 100, 0);
    fill(schedule, 'other', 100, COST_MIN);
    const order = Array.from({ length: 100 }, () => serve(schedule)?.flow);
    expect(order.filter((flow) => flow === 'free')).toHaveLength(50);
  });

  test('is what all flows used, for a flow that is new', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'known', 200, 100);
    for (let i = 0; i < 100; i += 1) serve(schedule);
    fill(schedule, 'new', 100, 100);
    const taken = Array.from({ length: 100 }, () => schedule.take(0)?.flow);
    expect(Math.abs(taken.filter((flow) => flow === 'new').length - 50)).toBeLessThanOrEqual(1);
  });

  test('before any report gives no flow more than a turn for each item that is held', () => {
    fc.assert(
      fc.property(fc.integer({ min: 64, max: 3000 }), fc.integer({ min: 1, max: 16 }), (cost, slots) => {
        const schedule = new Schedule<Work>();
        fill(schedule, 'early', 500, cost);
        const held = Array.from({ length: slots }, () => schedule.take(0));
        fill(schedule, 'late', 500, cost);
        const flows: string[] = [];
        for (let i = 0; i < 100; i += 1) {
          const ended = held.shift();
          if (ended === undefined) throw new Error('nothing is held');
          schedule.charge(ended, ended.tokens, 0);
          schedule.settle(ended, 0);
          const next = schedule.take(0);
          held.push(next);
          if (next !== undefined) flows.push(next.flow);
        }
        const late = flows.filter((flow) => flow === 'late').length;
        expect(Math.abs(late - 50)).toBeLessThanOrEqual(slots);
      }),
    );
  });

  test('that was too high is given back only down to where the flow came back', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'steady', 1000, 100);
    fill(schedule, 'back', 5, 0);
    const held: Work[] = [];
    for (let i = 0; i < 200; i += 1) {
      const taken = schedule.take(0);
      if (taken?.flow === 'back') held.push(taken);
      else if (taken !== undefined) {
        schedule.charge(taken, taken.tokens, 0);
        schedule.settle(taken, 0);
      }
    }
    expect(held).toHaveLength(5);
    fill(schedule, 'back', 500, 100);
    for (const item of held) {
      schedule.charge(item, item.tokens, 0);
      schedule.settle(item, 0);
    }
    const order = Array.from({ length: 40 }, () => serve(schedule)?.flow);
    expect(order.filter((flow) => flow === 'back').length).toBeLessThanOrEqual(22);
  });
});

describe('a schedule', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'add', 'take', 'delete', 'charge', 'settle', 'later'),
    flow: fc.nat({ max: 4 }),
    priority: fc.constantFrom(...PRIORITIES),
    pick: fc.nat({ max: 1000 }),
  });

  test('takes every item once, never nothing while one waits, and those of a flow and priority in order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const schedule = new Schedule<Work>();
        const waiting: { readonly item: Work; readonly priority: Priority }[] = [];
        const held: Work[] = [];
        let now = 0;
        const take = (): void => {
          const taken = schedule.take(now);
          if (taken === undefined) {
            expect(waiting).toEqual([]);
            return;
          }
          const at = waiting.findIndex(({ item }) => item === taken);
          expect(at).toBeGreaterThanOrEqual(0);
          const [found] = waiting.splice(at, 1);
          const ahead = waiting
            .slice(0, at)
            .filter(({ item, priority }) => item.flow === taken.flow && priority === found?.priority);
          expect(ahead).toEqual([]);
          held.push(taken);
        };
        for (const { kind, flow, priority, pick } of steps) {
          if (kind === 'add') {
            const item = work(`f${flow}`, pick);
            waiting.push({ item, priority });
            schedule.add(item, item.flow, priority, now);
          } else if (kind === 'take') take();
          else if (kind === 'later') now += pick * 100;
          else if (kind === 'delete') {
            const [gone] = waiting.splice(pick % Math.max(1, waiting.length), 1);
            if (gone !== undefined) schedule.delete(gone.item);
          } else {
            const at = pick % Math.max(1, held.length);
            const item = held[at];
            if (item === undefined) continue;
            schedule.charge(item, pick, 0);
            if (kind === 'settle') {
              schedule.settle(item, 0);
              held.splice(at, 1);
            }
          }
          expect(schedule.size).toBe(waiting.length);
        }
        while (waiting.length > 0) take();
        expect(schedule.take(now)).toBeUndefined();
        for (const item of held) schedule.settle(item, 0);
        // Nothing waits and nothing is held.
        expect(schedule.flows).toBeLessThanOrEqual(15);
      }),
    );
  });

  test('keeps no flow with nothing waiting and nothing held, unless it is ahead of the others', () => {
    const schedule = new Schedule<Work>();
    for (let i = 0; i < 3 * RESTING_FLOWS_MAX; i += 1) schedule.add(work(`f${i}`, 500), `f${i}`, 'normal', 0);
    serveAll(schedule);
    expect(schedule.flows).toBe(0);
    // Each of these is ahead of the one that waits.
    fill(schedule, 'first', 1, 500);
    const held = schedule.take(0);
    for (let i = 0; i < RESTING_FLOWS_MAX + 100; i += 1) schedule.add(work(`g${i}`, 500), `g${i}`, 'normal', 0);
    fill(schedule, 'last', 1, 500);
    for (let i = 0; i < RESTING_FLOWS_MAX + 100; i += 1) serve(schedule);
    if (held !== undefined) schedule.settle(held, 0);
    expect(schedule.size).toBe(1);
    expect(schedule.flows).toBeLessThanOrEqual(RESTING_FLOWS_MAX + 1);
  });

  test('keeps the position of an item that is added again, and takes another priority', () => {
    const schedule = new Schedule<string>();
    schedule.add('a', 'f', 'low', 0);
    schedule.add('b', 'f', 'high', 0);
    schedule.add('c', 'f', 'high', 0);
    schedule.add('b', 'f', 'high', 0);
    schedule.add('a', 'f', 'high', 0);
    expect([schedule.size, schedule.take(0), schedule.take(0), schedule.take(0)]).toEqual([3, 'b', 'c', 'a']);
  });
});

describe('priorities', () => {
  test('serve every waiting one at least once in as many turns as it may be passed over', () => {
    const schedule = new Schedule<Work>();
    for (const priority of PRIORITIES) fill(schedule, priority, 100, 500, priority);
    const order = Array.from({ length: 90 }, () => serve(schedule)?.flow);
    for (const priority of PRIORITIES) {
      const turns = order.flatMap((one, i) => (one === priority ? [i] : []));
      for (const [i, at] of turns.entries()) expect(at - (turns[i - 1] ?? -1)).toBeLessThanOrEqual(PASSED_OVER_MAX + 2);
    }
    expect(order.filter((one) => one === 'high').length).toBeGreaterThan(60);
  });

  test('are served next once they have waited too long, however few deliveries there are', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'low', 2, 500, 'low');
    fill(schedule, 'normal', 2, 500, 'normal');
    fill(schedule, 'high', 100, 500, 'high');
    const order = [0, 1, 2, 3, 4].map((i) => serve(schedule, (i * AGE_MS) / 2)?.flow);
    expect(order.slice(0, 2)).toEqual(['high', 'high']);
    expect(new Set(order.slice(2, 4))).toEqual(new Set(['low', 'normal']));
  });

  test('do not count the time in which nothing of them waited', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'high', 10, 500, 'high');
    const now = 2 * AGE_MS;
    serve(schedule, now);
    schedule.add(work('low', 500), 'low', 'low', now);
    expect(serve(schedule, now)?.flow).toBe('high');
  });

  test('leave the shares of their flows alone when they age', () => {
    const schedule = new Schedule<Work>();
    fill(schedule, 'short', 1000, 100);
    fill(schedule, 'long', 1000, 1000);
    const order = Array.from({ length: 550 }, (_, i) => serve(schedule, i * AGE_MS)?.flow);
    const long = order.filter((flow) => flow === 'long').length;
    expect(long).toBeGreaterThan(45);
    expect(long).toBeLessThan(55);
  });
});

describe('the position of an item', () => {
  test('is counted over all levels of its flow', () => {
    const counts = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 }), fc.nat({ max: 3 })), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(counts, (paths) => {
        const schedule = new Schedule<Work>();
        const items = paths.map(([t, u, s]) => work(`t${t}/u${u}/s${s}`, FIRST_GUESS));
        for (const item of items) schedule.add(item, item.flow, 'normal', 0);
        const counted = ahead(schedule.countBefore(items, 0));
        const served = serveAll(schedule);
        expect(items.map((item) => counted.get(item))).toEqual(items.map((item) => served.indexOf(item)));
      }),
    );
  });

  test('is the number of items that are taken before it, if each costs what is guessed', () => {
    const flows = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(flows, fc.nat({ max: 20 }), (counts, before) => {
        const schedule = new Schedule<Work>();
        for (const [i, count] of counts.entries()) fill(schedule, `f${i}`, count, FIRST_GUESS);
        for (let i = 0; i < before; i += 1) serve(schedule);
        const late = work('late', FIRST_GUESS);
        schedule.add(late, 'late', 'normal', 0);
        const all = [late];
        for (const [i] of counts.entries()) {
          const item = work(`f${i}`, FIRST_GUESS);
          schedule.add(item, item.flow, 'normal', 0);
          all.push(item);
        }
        const counted = ahead(schedule.countBefore(all, 0));
        const order = serveAll(schedule);
        expect(all.map((item) => counted.get(item))).toEqual(all.map((item) => order.indexOf(item)));
      }),
    );
  });

  test('is behind every higher priority, and unknown for what is held or gone', () => {
    const schedule = new Schedule<string>();
    schedule.add('held', 'f', 'high', 0);
    schedule.take(0);
    schedule.add('l', 'f', 'low', 0);
    schedule.add('n', 'g', 'normal', 0);
    schedule.add('h', 'f', 'high', 0);
    expect(Object.fromEntries(ahead(schedule.countBefore(['held', 'l', 'n', 'h', 'other'], 0)))).toEqual({
      h: 0,
      n: 1,
      l: 2,
    });
  });

  test('is counted on a sample of the flows when there are many', () => {
    const schedule = new Schedule<Work>();
    for (let i = 0; i < 10_000; i += 1) schedule.add(work(`f${i}`, 500), `f${i}`, 'normal', 0);
    const late = work('late', 500);
    schedule.add(late, 'late', 'normal', 0);
    const count = schedule.countBefore([late], 0).get(late)?.ahead ?? 0;
    expect(Math.abs(count - 10_000)).toBeLessThan(100);
  });
});
