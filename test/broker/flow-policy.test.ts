// The estimate of when a topic that waits is delivered: from measured times, corrected as deliveries end.
import { describe, expect, test } from 'vitest';
import { type FlowPolicy, waitMsOf } from '../../src/broker/flow-policy.ts';
import { FlowGates } from '../../src/broker/group/flow-gates.ts';
import { Schedule } from '../../src/broker/group/schedule.ts';
import { ManualClock } from '../support/manual-clock.ts';

const NO_LIMIT = { ahead: 0, held: 0, concurrent: Infinity, opensInMs: 0, everyMs: 0 };

describe('the estimate', () => {
  test('is absent where nothing is known', () => {
    expect(waitMsOf(3, { held: 2, meanMs: undefined }, [])).toBeUndefined();
    expect(waitMsOf(3, { held: 0, meanMs: 1000 }, [])).toBeUndefined();
  });

  test('counts the deliveries ahead by the deliveries under way', () => {
    expect(waitMsOf(0, { held: 1, meanMs: 1000 }, [])).toBe(1000);
    expect(waitMsOf(7, { held: 4, meanMs: 1000 }, [])).toBe(2000);
  });

  test('is no shorter than a limit allows, and never negative', () => {
    const service = { held: 10, meanMs: 1000 };
    // One at once, two of the flow are ahead: three must end.
    expect(waitMsOf(2, service, [{ ...NO_LIMIT, ahead: 2, held: 1, concurrent: 1 }])).toBe(3000);
    expect(waitMsOf(2, service, [{ ...NO_LIMIT, ahead: 2, opensInMs: 500, everyMs: 4000 }])).toBe(8500);
    expect(waitMsOf(2, service, [NO_LIMIT])).toBe(300);
    expect(waitMsOf(0, { held: 1, meanMs: 0 }, [{ ...NO_LIMIT, opensInMs: -5 }])).toBe(0);
  });

  test('is corrected as deliveries end, and follows caps, buckets and pauses', () => {
    const policies: Record<string, FlowPolicy> = {
      '': { pausedAs: { group: 'g', flows: '' } },
      slow: { deliveryRate: { perSecond: 0.1, burst: 1 } },
    };
    const clock = new ManualClock();
    const gates = new FlowGates(clock, (flow) => policies[flow] ?? {});
    const schedule = new Schedule<string>({ limits: gates.limitsOf('g') });
    const serve = (value: string, ms: number, begun: number): void => {
      schedule.add(value, 'f', 'normal', begun);
      expect(schedule.take(begun)).toBe(value);
      schedule.settle(value, begun + ms);
    };
    const waitOf = (value: string): number | undefined => schedule.countBefore([value], 1000).get(value)?.waitMs;
    serve('first', 1000, 0);
    schedule.add('held', 'f', 'normal', 1000);
    schedule.take(1000);
    schedule.add('next', 'f', 'normal', 1000);
    expect(waitOf('next')).toBe(1000);
    for (let i = 0; i < 80; i += 1) {
      schedule.settle('held', 1000 + 5000);
      schedule.delete('next');
      schedule.add('held', 'f', 'normal', 1000);
      schedule.take(1000);
      schedule.add('next', 'f', 'normal', 1000);
    }
    expect(waitOf('next')).toBeCloseTo(5000, 0);
    schedule.add('one', 'slow', 'normal', 1000);
    schedule.add('two', 'slow', 'normal', 1000);
    expect(waitOf('two')).toBeCloseTo(15_000, 0);
    gates.setPaused({ names: ['slow'], version: 1 });
    expect(waitOf('two')).toBeUndefined();
    expect(waitOf('next')).toBeCloseTo(5000, 0);
    gates.setPaused({ names: ['g'], version: 2 });
    expect(waitOf('next')).toBeUndefined();
  });
});
