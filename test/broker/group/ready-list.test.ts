// Lists of ready items: order, and no duplicates.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReadyList } from '../../../src/broker/group/ready-list.ts';

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
