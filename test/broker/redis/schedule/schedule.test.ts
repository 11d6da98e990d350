// The schedule in Lua has the rules of the schedule in TypeScript: both get the same histories, and must take the same
// items and give the same positions. And what only the schedule in Redis has: tickets, which run out, and cursors.
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Priority } from '../../../../src/broker/broker.ts';
import { COST_MAX, COST_MIN, FIRST_GUESS, RESTING_FLOWS_MAX } from '../../../../src/broker/group/fair-class.ts';
import { FlowGates } from '../../../../src/broker/group/flow-gates.ts';
import { PRIORITIES } from '../../../../src/broker/group/ready-list.ts';
import { AGE_MS, Schedule } from '../../../../src/broker/group/schedule.ts';
import type { FlowPolicy, FlowPolicyOf, QueuePlace } from '../../../../src/broker/flow-policy.ts';
import type { LiteTopicName } from '../../../../src/broker/lite-topic.ts';
import { PICKED_MS } from '../../../../src/broker/redis/schedule/schedule-lua.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { timeLimit } from '../../../support/slowness.ts';
import { topicName } from '../../contract/subject.ts';
import { RedisSchedule } from './redis-schedule.ts';

const RUNS = 60;
const TEST_MS_MAX = timeLimit(120_000);
/** Leaves at three levels, some beside inner flows of the same name; with weights. */
const FLOWS = ['a', 'b', 'a/u', 'a/u x3', 'a/v/s', 'a/v/t', 'c d//', ''];
const policyOf: FlowPolicyOf = (flow) => (flow.endsWith('x3') ? { weight: 3 } : flow === 'a' ? { weight: 0.5 } : {});
/** Limits on each level, alone and together. The clocks of both have different beginnings, so the rates are exact. */
const perSecond = (ms: number): number => 1000 / ms;
const LIMITS: Readonly<Record<string, FlowPolicy>> = {
  b: { concurrent: 2 },
  'a/v': { concurrent: 3, deliveryRate: { perSecond: perSecond(65_536), burst: 2 }, pool: 'all' },
  'a/v/s': { tokenRate: { perSecond: perSecond(2048), burst: 100 }, pool: 'all' },
  'a/u x3': { concurrent: 1, tokenRate: { perSecond: perSecond(256), burst: 700 }, weight: 3 },
};
const limitedPolicyOf: FlowPolicyOf = (flow) => LIMITS[flow] ?? policyOf(flow, 'g');
/** The group itself has limits too. */
const cappedPolicyOf: FlowPolicyOf = (flow) =>
  flow === '' ? { concurrent: 4, deliveryRate: { perSecond: perSecond(4096), burst: 3 } } : limitedPolicyOf(flow, 'g');

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.close();
});

const flowOf = (topic: LiteTopicName): string => FLOWS[Number(/f(\d)/.exec(topic)?.[1] ?? 0)] ?? '';

type Places = ReadonlyMap<LiteTopicName, QueuePlace>;

type Step =
  | { readonly kind: 'add'; readonly topic: LiteTopicName; readonly priority: Priority }
  | { readonly kind: 'take'; readonly count: number }
  | {
      readonly kind: 'settle' | 'charge';
      readonly which: number;
      readonly how: 'served' | 'unused';
      readonly used: number | undefined;
    }
  | { readonly kind: 'pass'; readonly ms: number };

const topics = FLOWS.flatMap((_, flow) => Array.from({ length: 3 }, (_unused, i) => topicName(`q/f${flow}-${i}`)));

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        topic: fc.constantFrom(...topics),
        priority: fc.constantFrom(...PRIORITIES),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('take' as const), count: fc.integer({ min: 1, max: 6 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('settle' as const, 'settle' as const, 'charge' as const),
        which: fc.nat(20),
        how: fc.constantFrom('served' as const, 'served' as const, 'unused' as const),
        used: fc.option(fc.oneof(fc.nat(2000), fc.constantFrom(0, COST_MIN, COST_MAX, 2 * COST_MAX, 0.5)), {
          nil: undefined,
        }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, AGE_MS / 2, AGE_MS) }),
    },
  ),
  { minLength: 1, maxLength: 80, size: 'max' },
);

/** Does the step in both; returns what both have taken. */
async function both(step: Step, ours: RedisSchedule, reference: Schedule<LiteTopicName>): Promise<void> {
  const held = [...ours.tickets.keys()];
  if (step.kind === 'pass') await ours.clock.advance(step.ms);
  if (step.kind === 'add' && !ours.tickets.has(step.topic)) {
    await ours.add(step.topic, step.priority);
    reference.add(step.topic, flowOf(step.topic), step.priority, ours.clock.mono());
  }
  if (step.kind === 'take') {
    const taken = Array.from({ length: step.count }, () => reference.take(ours.clock.mono()));
    expect(await ours.takeSome(step.count)).toEqual(taken.filter((topic) => topic !== undefined));
  }
  const topic = held[step.kind === 'settle' || step.kind === 'charge' ? step.which % Math.max(1, held.length) : 0];
  if ((step.kind !== 'settle' && step.kind !== 'charge') || topic === undefined) return;
  const used = step.used ?? (step.kind === 'charge' ? 0 : undefined);
  // What was not delivered is not charged.
  const isServed = step.kind === 'charge' || step.how === 'served';
  if (used !== undefined && isServed) reference.charge(topic, used, ours.clock.mono());
  if (step.kind === 'charge') {
    await ours.charge(topic, used ?? 0);
    return;
  }
  reference.settle(topic, ours.clock.mono(), step.how);
  await ours.settle(topic, step.how, step.used ?? ours.used.get(topic));
}

/** The times are computed from clocks with different beginnings, so they differ by less than a millisecond. */
function expectSamePlaces(ours: Places, reference: Places): void {
  const ahead = (places: Places) => [...places].map(([topic, place]) => [topic, place.ahead]).toSorted();
  expect(ahead(ours)).toEqual(ahead(reference));
  for (const [topic, { waitMs }] of reference) {
    const other = ours.get(topic)?.waitMs;
    if (waitMs === undefined || other === undefined) expect([topic, other]).toEqual([topic, waitMs]);
    else expect(Math.abs(other - waitMs)).toBeLessThan(1);
  }
}

describe('the schedule in Redis', () => {
  test.each([
    ['without limits', policyOf],
    ['with limits of flows', limitedPolicyOf],
    ['with limits of flows and of the group', cappedPolicyOf],
  ])(
    'takes the same items as the one in TypeScript, with the same positions, %s',
    { timeout: TEST_MS_MAX },
    async (_, policy) => {
      await fc.assert(
        fc.asyncProperty(steps, async (history) => {
          const ours = new RedisSchedule(redis, { flowOf, policyOf: policy });
          const reference = new Schedule<LiteTopicName>({ limits: new FlowGates(ours.clock, policy).limitsOf('g') });
          for (const step of history) await both(step, ours, reference);
          await ours.schedule.step(0, []);
          expectSamePlaces(await ours.schedule.places(topics), reference.countBefore(topics, ours.clock.mono()));
          for (let topic = await ours.take(); topic !== undefined; topic = await ours.take())
            expect(topic).toBe(reference.take(ours.clock.mono()));
          expect(reference.take(ours.clock.mono())).toBeUndefined();
        }),
        { numRuns: RUNS },
      );
    },
  );

  test('makes a topic wait again in its old place when it was picked and not leased, and takes no guess for it', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const [first, second] = [topicName('q/f0-1'), topicName('q/f0-2')];
    await ours.add(first, 'normal');
    await ours.add(second, 'normal');
    expect((await ours.schedule.step(1, [])).picked.map(({ topic }) => topic)).toEqual([first]);
    await ours.clock.advance(PICKED_MS - 1);
    expect((await ours.schedule.places([first, second])).get(second)?.ahead).toBe(0);
    await ours.clock.advance(1);
    await ours.schedule.step(0, []);
    expect([...(await ours.schedule.places([first, second]))]).toEqual([
      [first, { ahead: 0 }],
      [second, { ahead: 1 }],
    ]);
    await ours.add(topicName('q/f1-1'), 'normal');
    expect([await ours.take(), await ours.take()]).toEqual([first, topicName('q/f1-1')]);
  });

  test('holds a leased topic beyond its lease, and makes it wait again if it is not settled then', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const topic = topicName('q/f0-1');
    await ours.add(topic, 'normal');
    const [picked] = (await ours.schedule.step(1, [])).picked;
    ours.schedule.leased(picked?.ticket ?? '', 60_000);
    await ours.schedule.step(0, []);
    await ours.clock.advance(60_000);
    expect(await ours.take()).toBeUndefined();
    await ours.clock.advance(PICKED_MS);
    expect(await ours.take()).toBe(topic);
  });

  test('counts a ticket once, and not after it ran out', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const [one, other] = [topicName('q/f0-1'), topicName('q/f1-1')];
    await ours.add(one, 'normal');
    const [picked] = (await ours.schedule.step(1, [])).picked;
    await ours.clock.advance(PICKED_MS);
    await ours.schedule.step(0, []);
    for (let i = 0; i < 2; i += 1) {
      ours.schedule.settle(picked?.ticket ?? '', 'served', 10_000);
      await ours.schedule.step(0, []);
    }
    await ours.add(other, 'normal');
    expect([await ours.take(), await ours.take()]).toEqual([one, other]);
  });

  test('lets a topic wait that came to wait while it was held, whatever is reported of its ticket', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const topic = topicName('q/f0-1');
    await ours.add(topic, 'normal');
    const [picked] = (await ours.schedule.step(1, [])).picked;
    await ours.add(topic, 'normal');
    ours.schedule.settle(picked?.ticket ?? '', 'unused');
    await ours.schedule.step(0, []);
    expect(await ours.take()).toBe(topic);
    expect(await ours.take()).toBeUndefined();
  });

  test('serves the topics of a flow in their order and counts them so, also when the first one waits again', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const [first, ...others] = [topicName('q/f0-2'), topicName('q/f0-3'), topicName('q/f0-1')];
    for (const topic of [first, ...others]) await ours.add(topic);
    // The node that picks it dies.
    expect((await ours.schedule.step(1, [])).picked).toMatchObject([{ topic: first }]);
    await ours.clock.advance(PICKED_MS);
    await ours.schedule.step(0, []);
    const places = await ours.schedule.places([first, ...others]);
    expect([first, ...others].map((topic) => places.get(topic)?.ahead)).toEqual([0, 1, 2]);
    expect((await ours.schedule.step(3, [])).picked.map(({ topic }) => topic)).toEqual([first, ...others]);
  });

  test('enters once what two nodes drained, and the rest at once', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const waiting = (name: string, priority: Priority, turn: string) => ({ topic: topicName(name), priority, turn });
    const one = waiting('q/f0-1', 'normal', '1');
    const first = { from: '', to: 'era 0 1 0', waiting: [one], more: false, dueIn: undefined };
    expect((await ours.schedule.step(1, [{ partition: 0, drained: first }])).picked).toHaveLength(1);
    // The second node has drained from the start too, and has found more.
    const rest = [waiting('q/f0-2', 'normal', '2'), waiting('q/f1-1', 'high', '3')];
    const second = { ...first, to: 'era 3 2 0', waiting: [...rest.slice(1), one, ...rest.slice(0, 1)] };
    const { picked, entries } = await ours.schedule.step(3, [{ partition: 0, drained: second }]);
    expect(picked.map(({ topic }) => topic)).toEqual(['q/f1-1', 'q/f0-2']);
    expect(entries).toEqual([{ cursor: 'era 3 2 0', isRefused: false }]);
    // A drain that is older than the cursor moves it nowhere.
    const late = await ours.schedule.step(1, [{ partition: 0, drained: first }], { wantsCursors: true });
    expect(late).toMatchObject({ picked: [], entries: [{ cursor: 'era 3 2 0', isRefused: false }] });
    expect(late.cursors).toEqual(new Map([[0, 'era 3 2 0']]));
  });

  test.each([
    ['behind a later cursor', 'era 0 5 0', 'era 0 6 0'],
    ['of another era', 'other 0 0 0', 'other 0 6 0'],
  ])('refuses a drain %s than the one of the schedule, and names its own', async (_, from, to) => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const drained = { waiting: [], more: false, dueIn: undefined };
    await ours.schedule.step(0, [{ partition: 0, drained: { ...drained, from: '', to: 'era 0 1 0' } }]);
    const waiting = [{ topic: topicName('q/f0-1'), priority: 'normal' as const, turn: '6' }];
    const { picked, entries } = await ours.schedule.step(1, [
      { partition: 0, drained: { ...drained, from, to, waiting } },
    ]);
    expect({ picked, entries }).toEqual({ picked: [], entries: [{ cursor: 'era 0 1 0', isRefused: true }] });
  });

  test('enters many topics in several steps, and picks when all are entered', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const batches = Array.from({ length: 8 }, (_, partition) => ({
      partition,
      drained: {
        from: '',
        to: 'era 0 1 0',
        waiting: Array.from({ length: 100 }, (_unused, i) => ({
          topic: topicName(`q/f0-${partition}.${i}`),
          priority: 'normal' as const,
          turn: String(1000 - partition),
        })),
        more: false,
        dueIn: undefined,
      },
    }));
    const { picked, entries } = await ours.schedule.step(3, batches);
    expect(picked.map(({ topic }) => topic)).toEqual(['q/f0-7.0', 'q/f0-7.1', 'q/f0-7.10']);
    expect(entries).toEqual(batches.map(() => ({ cursor: 'era 0 1 0', isRefused: false })));
  });

  test('forgets the flows inside a flow that has nothing waiting and nothing held', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const [one, other, last] = [topicName('q/f4-1'), topicName('q/f5-1'), topicName('q/f5-2')];
    for (const topic of [one, other, last]) await ours.add(topic);
    const own = `${ours.keys.tag(1)}:g:g`;
    const resting = `${own}:r:normal:a/v/`;
    // Ahead of the other flow, which waits.
    expect(await ours.take()).toBe(one);
    await ours.settle(one, 'served', 10 * FIRST_GUESS);
    expect(await redis.exists(resting)).toBe(1);
    expect(await ours.takeSome(2)).toEqual([other, last]);
    for (const topic of [other, last]) await ours.settle(topic, 'served', FIRST_GUESS);
    expect(await redis.exists(resting)).toBe(0);
    expect(await redis.hkeys(`${own}:f:normal`)).not.toContain('a/v/s ');
  });

  test('forgets a flow that is level with the others, and keeps at most so many that are ahead', async () => {
    const ours = new RedisSchedule(redis, { flowOf, policyOf });
    const topic = topicName('q/f0-1');
    await ours.add(topic, 'normal');
    await ours.take();
    await ours.settle(topic, 'served', FIRST_GUESS);
    const flows = `${ours.keys.tag(1)}:g:g:f:normal`;
    expect(await redis.hlen(flows)).toBe(0);
    // Flows that rest ahead of a flow that waits.
    await ours.add(topic, 'normal');
    const resting = Array.from({ length: RESTING_FLOWS_MAX }, (_, i) => [
      String(1e6 + i),
      `${String(i).padStart(16, '0')}x${i}`,
    ]);
    await redis.zadd(`${ours.keys.tag(1)}:g:g:r:normal:`, ...resting.flat());
    await redis.hset(`${ours.keys.tag(1)}:g:g:s`, 'normal', `0 0 ${RESTING_FLOWS_MAX} 1 500 0 10 1 1`);
    const other = topicName('q/f1-1');
    await ours.add(other, 'normal');
    await ours.take();
    await ours.take();
    await ours.add(topic, 'normal');
    await ours.settle(other, 'served', COST_MAX);
    expect(await redis.zcard(`${ours.keys.tag(1)}:g:g:r:normal:`)).toBe(RESTING_FLOWS_MAX);
    expect(await redis.hexists(flows, 'b ')).toBe(1);
  });
});
