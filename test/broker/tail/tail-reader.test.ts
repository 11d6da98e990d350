// What a tail does with a listener that throws, and with an error that has no receiver.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { StopController } from '../../../src/base/stop-signal.ts';
import type { LogBatch, ReadResult, TailListener } from '../../../src/broker/broker.ts';
import { TailReader } from '../../../src/broker/tail/tail-reader.ts';
import { WakeList } from '../../../src/broker/tail/wake-list.ts';

const START = { epoch: 'e', offset: 0 };

function batch(offset: number, end = true): LogBatch {
  const items = [{ kind: 'record', offset, major: false, data: 'x' }] as const;
  return { kind: 'batch', epoch: 'e', items, next: offset + 1, end };
}

/** A reader of given results, and the calls that its listener received. */
class Followed {
  readonly calls: string[] = [];
  readonly reader: TailReader;
  isDetached = false;

  constructor(results: (ReadResult | Promise<ReadResult>)[]) {
    const source = {
      readFrom: () => results.shift() ?? ({ kind: 'batch', epoch: 'e', items: [], next: 0, end: true } as const),
      attach: () => undefined,
      detach: () => (this.isDetached = true),
    };
    this.reader = new TailReader(source, START, { signal: new StopController() });
  }

  /** `throwsIn`: each of these calls throws an error of its own name. */
  follow(...throwsIn: readonly (keyof TailListener)[]): void {
    const call = (name: keyof TailListener, text: string): void => {
      this.calls.push(text);
      if (throwsIn.includes(name)) throw new Error(`in ${name}`);
    };
    this.reader.follow({
      onResult: (result) => call('onResult', result.kind),
      onEnd: () => call('onEnd', 'end'),
      onError: (error) => call('onError', String(error)),
    });
  }
}

describe('a followed tail', () => {
  afterEach(() => void vi.restoreAllMocks());

  it.each([
    ['reads from memory', () => [batch(0)]],
    ['reads from the disk', () => [Promise.resolve(batch(0))]],
    ['is far behind', () => [batch(0, false), batch(1)]],
    ['reads its last result', () => [{ kind: 'missing' } as const]],
  ])('ends and reports once when its listener throws and the tail %s', async (_, results) => {
    const followed = new Followed(results());
    followed.follow('onResult');
    await new Promise(setImmediate);
    expect(followed.calls).toEqual([expect.stringMatching(/batch|missing/), 'Error: in onResult']);
    expect(followed.isDetached).toBe(true);
    followed.reader.wake();
    expect(followed.calls).toHaveLength(2);
  });

  it.each([
    ['onError', () => [batch(0, false), Promise.reject(new Error('the disk'))]],
    ['onEnd', () => [batch(0, false), { kind: 'missing' } as const]],
  ] as const)('warns once and ends nothing else when %s throws', async (name, results) => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    const followed = new Followed(results());
    followed.follow(name);
    await new Promise(setImmediate);
    expect(warned).toHaveBeenCalledExactlyOnceWith(new Error(`in ${name}`));
    expect(followed.isDetached).toBe(true);
  });

  it('wakes the other readers when one listener throws in every call', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    const [bad, good] = [new Followed([]), new Followed([])];
    bad.follow('onResult', 'onEnd', 'onError');
    good.follow();
    bad.reader.end({ kind: 'reset', reason: 'removed', epoch: 'e', earliest: 0, next: 0 });
    good.reader.end({ kind: 'reset', reason: 'removed', epoch: 'e', earliest: 0, next: 0 });
    const wakes = new WakeList();
    wakes.mark([bad.reader, good.reader], true);
    wakes.drain();
    expect(bad.calls).toEqual(['reset', 'Error: in onResult']);
    expect(good.calls).toEqual(['reset', 'end']);
    expect(warned).toHaveBeenCalledOnce();
  });
});
