// How a node counts what waits for a tenant: seldom far below the limit, exactly near it, and never in the way.
import { describe, expect, it } from 'vitest';
import type { WaitingCounts } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { isSessionError } from '../../src/session/errors.ts';
import { waitingLimits, WAITING_MAX } from '../../src/session/flow-policies.ts';
import { COUNT_MS, COUNTED_AGENTS_MAX, TenantLimit } from '../../src/session/stores/tenant-limit.ts';
import { ManualClock } from '../support/manual-clock.ts';

class Queue {
  readonly clock = new ManualClock();
  readonly errors: unknown[] = [];
  readonly asked: (readonly string[])[] = [];
  waiting = 0;
  failure: Error | undefined;

  node(max: number, agents?: readonly string[]): TenantLimit {
    return new TenantLimit({
      broker: { countWaiting: (groups) => this.#count(groups) },
      clock: this.clock,
      maxOf: () => max,
      agents,
      onError: (error) => this.errors.push(error),
    });
  }

  async send(node: TenantLimit, agent = 'a'): Promise<boolean> {
    const admitted = await node.enter('acme', agent);
    try {
      admitted.mustFit();
      this.waiting += 1;
      return true;
    } catch (error) {
      if (!isSessionError(error, 'too-many-waiting')) throw error;
      return false;
    } finally {
      admitted.leave();
    }
  }

  async #count(groups: readonly string[]): Promise<WaitingCounts[]> {
    this.asked.push(groups);
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return groups.map((_, i) => ({ high: 0, normal: i === 0 ? this.waiting : 0, low: 0 }));
  }
}

describe('the limit of a tenant', () => {
  it('is exact on one node, and counts seldom below the limit', async () => {
    const queue = new Queue();
    const node = queue.node(1000);
    for (let i = 0; i < 1000; i += 1) expect(await queue.send(node)).toBe(true);
    expect(queue.asked.length).toBeLessThan(80);
    expect(await queue.send(node)).toBe(false);
    const counts = queue.asked.length;
    for (let i = 0; i < 100; i += 1) expect(await queue.send(node)).toBe(false);
    expect(queue.asked.length).toBe(counts);
    queue.waiting -= 1;
    await queue.clock.advance(COUNT_MS);
    expect([await queue.send(node), await queue.send(node)]).toEqual([true, false]);
  });

  it('accepts prompts that arrive at once up to the limit, also if they are slow to be stored', async () => {
    const queue = new Queue();
    const node = queue.node(10);
    const admissions = await Promise.all(Array.from({ length: 30 }, () => node.enter('acme', 'a')));
    expect(admissions.filter(({ isRefused }) => isRefused !== true)).toHaveLength(10);
    await queue.clock.advance(COUNT_MS);
    expect((await node.enter('acme', 'a')).isRefused).toBe(true);
    for (const one of admissions) if (one.isRefused !== true) one.leave();
    expect((await node.enter('acme', 'a')).isRefused).toBeUndefined();
  });

  it('refuses nothing that workers take at once', async () => {
    const queue = new Queue();
    const node = queue.node(2);
    for (let i = 0; i < 50; i += 1) {
      expect(await queue.send(node)).toBe(true);
      queue.waiting = 0;
    }
  });

  it('is exceeded by several nodes by no more than what they accept between two counts', async () => {
    const queue = new Queue();
    const nodes = [queue.node(1000), queue.node(1000), queue.node(1000)];
    let refused = 0;
    for (let i = 0; refused < 100; i += 1) {
      const node = nodes[i % 3];
      if (node !== undefined && !(await queue.send(node))) refused += 1;
    }
    expect(queue.waiting).toBeGreaterThanOrEqual(1000);
    expect(queue.waiting).toBeLessThan(1010);
  });

  it('refuses nothing while the count is out of reach, and reports only other faults', async () => {
    const queue = new Queue();
    const node = queue.node(1);
    queue.waiting = 5;
    queue.failure = new BrokerError('unavailable', 'away');
    expect([await queue.send(node), await queue.send(node)]).toEqual([true, true]);
    expect(queue.errors).toEqual([]);
    queue.failure = new Error('a defect');
    await queue.clock.advance(COUNT_MS);
    expect(await queue.send(node)).toBe(true);
    expect(queue.errors).toEqual([queue.failure]);
    queue.failure = undefined;
    await queue.clock.advance(COUNT_MS);
    await queue.send(node);
    expect(await queue.send(node)).toBe(false);
  });

  it('counts the agents of the configuration, or a bounded number of those that prompts name', async () => {
    const queue = new Queue();
    await queue.send(queue.node(9, ['poet', 'coder']), 'poet');
    expect(queue.asked).toEqual([['workers:poet', 'workers:coder']]);
    const node = queue.node(9);
    for (let i = 0; i < COUNTED_AGENTS_MAX + 5; i += 1) {
      await queue.send(node, `a${i}`);
      queue.waiting = 0;
    }
    expect(queue.asked.at(-1)?.length).toBe(COUNTED_AGENTS_MAX);
    expect(queue.asked.at(-1)?.at(-1)).toBe(`workers:a${COUNTED_AGENTS_MAX + 4}`);
  });

  it('is that of the tenant, or of all others, or the default', () => {
    const limits = waitingLimits(
      new Map([
        ['acme', { waiting: 5 }],
        ['*', { waiting: 7 }],
        ['b', { weight: 2 }],
      ]),
    );
    expect(['acme', 'b', 'c'].map(limits)).toEqual([5, 7, 7]);
    expect(waitingLimits(new Map())('acme')).toBe(WAITING_MAX);
  });
});
