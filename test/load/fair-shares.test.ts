// The arithmetic of fairness that the burst scenario judges by.
import { describe, expect, it } from 'vitest';
import { fairLevel, fairness, jain, type Outcome } from '../../load/scenarios/fair-shares.ts';

function outcomes(...pairs: readonly (readonly [wanted: number, served: number])[]): Outcome[] {
  return pairs.map(([wanted, served]) => ({ wanted, served }));
}

describe('the fair level', () => {
  it('gives nobody more than it wanted, and the rest to the others', () => {
    expect(fairLevel([10, 100, 100], 110)).toBe(50);
    expect(fairLevel([30, 30, 30], 60)).toBe(20);
    expect(fairLevel([5, 10], 100)).toBe(10);
    expect(fairLevel([], 5)).toBe(0);
  });
});

describe("Jain's index", () => {
  it('is 1 for equal shares and 1/n when one of n has everything', () => {
    expect(jain([3, 3, 3])).toBe(1);
    expect(jain([8, 0, 0, 0])).toBe(0.25);
    expect(jain([])).toBe(1);
  });
});

describe('the fairness of an outcome', () => {
  it('is 1 when each tenant has its fair share, and when a tenant that wanted little has all of it', () => {
    expect(fairness(outcomes([100, 40], [100, 40]), 0)).toBe(1);
    expect(fairness(outcomes([5, 5], [100, 40], [100, 40]), 0)).toBe(1);
  });

  it('forgives a distance up to the slack, and counts only what is beyond it', () => {
    expect(fairness(outcomes([100, 30], [100, 50]), 10)).toBe(1);
    expect(fairness(outcomes([100, 30], [100, 50]), 5)).toBeCloseTo(jain([35 / 40, 45 / 40]));
  });

  it('falls when one tenant of many receives nearly everything', () => {
    const one = outcomes([1000, 910], ...Array.from({ length: 9 }, () => [1000, 10] as const));
    expect(fairness(one, 20)).toBeLessThan(0.3);
  });

  it('leaves out a tenant that wanted nothing', () => {
    expect(fairness(outcomes([0, 0], [10, 5], [10, 5]), 0)).toBe(1);
  });
});
