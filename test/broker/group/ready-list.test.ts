// Rings of what is ready: order, no duplicates, and a share for every class.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PASSED_OVER_MAX, PriorityRings, ReadyRing } from '../../../src/broker/group/ready-list.ts';

describe('ReadyRing', () => {
  test('behaves like an array without duplicates', () => {
    const step = fc.record({ kind: fc.constantFrom('add', 'add', 'take', 'delete'), item: fc.nat({ max: 8 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const ring = new ReadyRing<number>();
        let model: number[] = [];
        for (const { kind, item } of steps) {
          if (kind === 'add') {
            ring.add(item);
            if (!model.includes(item)) model.push(item);
          } else if (kind === 'delete') {
            ring.delete(item);
            model = model.filter((one) => one !== item);
          } else expect(ring.take()).toBe(model.shift());
          expect(ring.size).toBe(model.length);
          expect(ring.has(item)).toBe(model.includes(item));
        }
      }),
    );
  });
});

describe('PriorityRings', () => {
  test('serve every class that waits at least once in as many turns as it may be passed over', () => {
    const rings = new PriorityRings<string>();
    for (let i = 0; i < 100; i += 1)
      for (const priority of ['high', 'normal', 'low'] as const) rings.add(`${priority} ${i}`, priority);
    const order = Array.from({ length: 90 }, () => rings.take()?.split(' ')[0]);
    for (const priority of ['high', 'normal', 'low']) {
      const turns = order.flatMap((one, i) => (one === priority ? [i] : []));
      for (const [i, at] of turns.entries()) expect(at - (turns[i - 1] ?? -1)).toBeLessThanOrEqual(PASSED_OVER_MAX + 2);
    }
    expect(order.filter((one) => one === 'high').length).toBeGreaterThan(60);
  });

  test('hold an item in the class that was named last, once', () => {
    const rings = new PriorityRings<string>();
    rings.add('a', 'low');
    rings.add('b', 'high');
    rings.add('a', 'high');
    expect(rings.size).toBe(2);
    expect([rings.take(), rings.take(), rings.take()]).toEqual(['b', 'a', undefined]);
  });
});
