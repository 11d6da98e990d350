// Lists of ready items: order, no duplicates, and a share for every priority.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PASSED_OVER_MAX, PriorityLists, ReadyList } from '../../../src/broker/group/ready-list.ts';

describe('ReadyList', () => {
  test('behaves like an array without duplicates', () => {
    const step = fc.record({ kind: fc.constantFrom('add', 'add', 'take', 'delete'), item: fc.nat({ max: 8 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
        const list = new ReadyList<number>();
        let model: number[] = [];
        for (const { kind, item } of steps) {
          if (kind === 'add') {
            list.add(item);
            if (!model.includes(item)) model.push(item);
          } else if (kind === 'delete') {
            list.delete(item);
            model = model.filter((one) => one !== item);
          } else expect(list.take()).toBe(model.shift());
          expect(list.size).toBe(model.length);
          expect(list.has(item)).toBe(model.includes(item));
        }
      }),
    );
  });
});

describe('PriorityLists', () => {
  test('serves every waiting priority at least once in as many turns as it may be passed over', () => {
    const lists = new PriorityLists<string>();
    for (let i = 0; i < 100; i += 1)
      for (const priority of ['high', 'normal', 'low'] as const) lists.add(`${priority} ${i}`, priority);
    const order = Array.from({ length: 90 }, () => lists.take()?.split(' ')[0]);
    for (const priority of ['high', 'normal', 'low']) {
      const turns = order.flatMap((one, i) => (one === priority ? [i] : []));
      for (const [i, at] of turns.entries()) expect(at - (turns[i - 1] ?? -1)).toBeLessThanOrEqual(PASSED_OVER_MAX + 2);
    }
    expect(order.filter((one) => one === 'high').length).toBeGreaterThan(60);
  });

  test('holds an item once, in the priority that was named last', () => {
    const lists = new PriorityLists<string>();
    lists.add('a', 'low');
    lists.add('b', 'high');
    lists.add('a', 'high');
    expect(lists.size).toBe(2);
    expect([lists.take(), lists.take(), lists.take()]).toEqual(['b', 'a', undefined]);
  });
});
