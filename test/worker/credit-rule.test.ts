// The credit of a worker as a rule: its bounds, its recovery, and what lowers it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterRun,
  creditNow,
  REST_FAILURES,
  REST_MS_MAX,
  SLOW_PART,
  startingCredit,
  type CreditState,
  type RunEvidence,
} from '../../src/worker/credit-rule.ts';

interface Step {
  readonly evidence: RunEvidence;
  readonly afterMs: number;
}

/** Of a run that began just now. */
const failure: RunEvidence = { failed: true, begunAt: Infinity };
const success = (firstTokenMs?: number): RunEvidence => ({
  failed: false,
  ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
});
const evidence = fc.oneof(
  fc.constant(failure),
  fc.option(fc.nat(60_000), { nil: undefined }).map((ms) => success(ms)),
);
const step: fc.Arbitrary<Step> = fc.record({ evidence, afterMs: fc.nat(10_000) });
const history = fc.record({ max: fc.integer({ min: 1, max: 2048 }), steps: fc.array(step, { maxLength: 60 }) });

/** The states after each step, and the time of the last one. */
function play({ max, steps }: { readonly max: number; readonly steps: readonly Step[] }) {
  let now = 0;
  let state = startingCredit(max);
  const states: CreditState[] = [];
  for (const one of steps) {
    now += one.afterMs;
    state = afterRun(state, one.evidence, max, now);
    states.push(state);
  }
  return { state, states, now };
}

const times = (count: number, one: RunEvidence, afterMs = 0): Step[] =>
  Array.from({ length: count }, () => ({ evidence: one, afterMs }));

describe('the credit of a worker', () => {
  it('is a whole number from 1 to the maximum after any history, and a rest is bounded', () => {
    fc.assert(
      fc.property(history, (played) => {
        let now = 0;
        for (const [i, state] of play(played).states.entries()) {
          now += played.steps[i]?.afterMs ?? 0;
          expect(Number.isInteger(state.credit)).toBe(true);
          expect(state.credit).toBeGreaterThanOrEqual(1);
          expect(state.credit).toBeLessThanOrEqual(played.max);
          expect(state.restUntil - now).toBeLessThanOrEqual(REST_MS_MAX);
          expect(creditNow(state, now + REST_MS_MAX)).toBe(state.credit);
        }
      }),
    );
  });

  it('never rises by a failure, and falls by it unless it is 1', () => {
    fc.assert(
      fc.property(history, (played) => {
        const { state, now } = play(played);
        const after = afterRun(state, failure, played.max, now);
        expect(after.credit).toBe(Math.max(1, Math.floor(state.credit / 2)));
        expect(after.restUntil).toBeGreaterThanOrEqual(state.restUntil);
      }),
    );
  });

  it('is whole again after as many successes as the maximum, whatever came before', () => {
    fc.assert(
      fc.property(history, ({ max, steps }) => {
        const before = play({ max, steps }).state;
        const { state } = play({ max, steps: [...steps, ...times(max, success())] });
        // Without new times the server may count as slow all the time; with usual ones it does not.
        if ((before.recentMs ?? 0) <= 3 * (before.usualMs ?? 0)) expect(state.credit).toBe(max);
        const usual = Math.max(1, before.usualMs ?? 1);
        const recovered = play({ max, steps: [...steps, ...times(200 + max, success(usual))] }).state;
        expect(recovered.credit).toBe(max);
        expect(creditNow(recovered, Infinity)).toBe(max);
      }),
      { numRuns: 40 },
    );
  });

  it('is no higher where one success more was a failure', () => {
    fc.assert(
      fc.property(history, fc.nat(), ({ max, steps }, at) => {
        const silent = steps.map((one) => ({ ...one, evidence: one.evidence.failed ? failure : success() }));
        const worse = silent.map((one, i) =>
          i === at % Math.max(1, silent.length) ? { ...one, evidence: failure } : one,
        );
        expect(play({ max, steps: worse }).state.credit).toBeLessThanOrEqual(play({ max, steps: silent }).state.credit);
      }),
    );
  });

  it('rests from the third failure on, longer each time, and a success ends the rest', () => {
    const rests = Array.from({ length: 9 }, (_, i) => {
      const { state, now } = play({ max: 8, steps: times(i + 1, failure, 10_000) });
      return Math.max(0, state.restUntil - now);
    });
    expect(rests).toEqual([0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000]);
    const { state, now } = play({ max: 8, steps: times(REST_FAILURES, failure) });
    expect([creditNow(state, now), creditNow(afterRun(state, success(), 8, now), now)]).toEqual([0, 2]);
  });

  it('counts the failures of runs that were under way together once', () => {
    const underWay: RunEvidence = { failed: true, begunAt: 0 };
    const outage = play({ max: 64, steps: times(64, underWay, 1) });
    expect([outage.state.credit, creditNow(outage.state, outage.now)]).toEqual([32, 32]);
    const next = play({ max: 64, steps: [...times(64, underWay, 1), ...times(2, failure, 1)] });
    expect([next.state.credit, creditNow(next.state, next.now)]).toEqual([8, 0]);
  });

  it('stays nearly whole where few runs fail, and is small where most do', () => {
    const mixed = (every: number): number =>
      play({
        max: 64,
        steps: Array.from(
          { length: 400 },
          (_, i) => times(1, i % every === every - 1 ? failure : success())[0] as Step,
        ),
      }).state.credit;
    expect(mixed(100)).toBeGreaterThanOrEqual(32);
    expect(mixed(2)).toBeLessThanOrEqual(3);
  });

  it('stays whole where one run among many takes long to its first token', () => {
    const oneIn = (every: number, ms: number): readonly CreditState[] =>
      play({
        max: 32,
        steps: Array.from({ length: 400 }, (_, i) => ({
          evidence: success(i % every === every - 1 ? 100 * ms : ms),
          afterMs: 1,
        })),
      }).states;
    for (const ms of [10, 300, 2000]) expect(oneIn(10, ms).every(({ credit }) => credit === 32)).toBe(true);
  });

  it('falls to a part while the first token takes longer than usual, and comes back when that lasts or ends', () => {
    const usual = times(50, success(800));
    const slow = play({ max: 32, steps: [...usual, ...times(12, success(8000))] }).state;
    expect(slow.credit).toBeLessThan(16);
    expect(slow.credit).toBeGreaterThanOrEqual(32 * SLOW_PART);
    expect(
      play({ max: 32, steps: [...usual, ...times(12, success(8000)), ...times(60, success(800))] }).state.credit,
    ).toBe(32);
    expect(play({ max: 32, steps: [...usual, ...times(80, success(8000))] }).state.credit).toBe(32);
    expect(play({ max: 32, steps: [...times(50, success(20)), ...times(12, success(400))] }).state.credit).toBe(32);
  });
});
