// StopController calls the same listeners as the platform's AbortController, for any sequence of calls.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StopController, type StopSignal } from '../../src/base/stop-signal.ts';

/** `takesOff`: the listener that this listener removes when it is called. */
const step = fc.record({ kind: fc.constantFrom('add', 'add', 'remove', 'abort'), who: fc.nat(3), takesOff: fc.nat(3) });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function play(signal: StopSignal, abort: () => void, steps: readonly Step[]): string[] {
  const heard: string[] = [];
  const takesOff = [0, 1, 2, 3];
  const listeners = takesOff.map((who) => () => {
    heard.push(`${who} ${signal.aborted}`);
    signal.removeEventListener('abort', listeners[takesOff[who] ?? 0] ?? expect.unreachable());
  });
  for (const { kind, who, takesOff: other } of steps) {
    const listener = listeners[who] ?? expect.unreachable();
    if (kind === 'add') takesOff[who] = other;
    if (kind === 'add') signal.addEventListener('abort', listener, { once: true });
    else if (kind === 'remove') signal.removeEventListener('abort', listener);
    else abort();
    heard.push(`${kind} ${signal.aborted}`);
  }
  return heard;
}

it('StopController calls listeners in the same order and number as AbortController', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const [ours, platforms] = [new StopController(), new AbortController()];
      expect(play(ours, () => ours.abort(), steps)).toEqual(play(platforms.signal, () => platforms.abort(), steps));
    }),
    { numRuns: 500 },
  );
});
