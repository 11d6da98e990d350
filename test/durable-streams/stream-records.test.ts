// The codecs of durable streams: any bytes come back as they were, in one record or in several, and JSON bodies are cut
// into the messages that a parser would find.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitList, splitMessages } from '../../src/durable-streams/json-messages.ts';
import { encodeOffset, parseOffset } from '../../src/durable-streams/offset-token.ts';
import { AppendGatherer } from '../../src/durable-streams/stream-reads.ts';
import { decodeRecord, encodeAppend, RECORD_DATA_BYTES } from '../../src/durable-streams/stream-records.ts';
import { RECORD_BYTES_MAX } from '../../src/broker/broker.ts';

const gathered = (appends: readonly Buffer[]): { appends: readonly Buffer[]; next: number } => {
  const gatherer = new AppendGatherer(0);
  let offset = 0;
  const items = appends
    .flatMap((data) => encodeAppend(data, {}))
    .map((one) => ({ kind: 'record' as const, offset: (offset += 1), ...one }));
  expect(gatherer.add(items)).toBe(true);
  return { appends: gatherer.take(), next: gatherer.next };
};

describe('records', () => {
  it('return any bytes as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1 }), (appends) => {
        const buffers = appends.map((bytes) => Buffer.from(bytes));
        const read = gathered(buffers);
        expect(read.next).toBe(appends.length);
        expect(read.appends.map((one) => one.toString('hex'))).toEqual(buffers.map((one) => one.toString('hex')));
      }),
    );
  });

  it('split a large append, and never inside a character of its text', () => {
    const text = Buffer.from(`${'x'.repeat(RECORD_DATA_BYTES - 1)}${'ü'.repeat(RECORD_DATA_BYTES)}`);
    const records = encodeAppend(text, { closed: true });
    expect(records.length).toBeGreaterThan(2);
    expect(records.every(({ data }) => !data.startsWith('{"b"'))).toBe(true);
    // Only the last record has the state, which is the state after the whole append.
    expect(records.map(({ data }) => decodeRecord(data).state.closed)).toEqual([
      ...records.slice(1).map(() => undefined),
      true,
    ]);
    const { appends, next } = gathered([text]);
    expect(appends).toHaveLength(1);
    expect(appends[0]?.equals(text)).toBe(true);
    expect(next).toBe(records.length);
  });

  it('fit the log, whatever the bytes are', () => {
    const bytes = Buffer.alloc(3 * RECORD_DATA_BYTES, 0xff);
    const sizes = encodeAppend(bytes, {}).map(({ data }) => Buffer.byteLength(data));
    expect(Math.max(...sizes)).toBeLessThan(RECORD_BYTES_MAX - 128 * 1024);
  });

  it('are not read from the middle of an append', () => {
    const [, second] = encodeAppend(Buffer.alloc(RECORD_DATA_BYTES + 1, 'x'), {});
    if (second === undefined) throw new Error('one record');
    expect(new AppendGatherer(1).add([{ kind: 'record', offset: 2, ...second }])).toBe(false);
  });
});

describe('JSON messages', () => {
  it('are the elements of an array, or the value, as a parser finds them', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (value, indent) => {
        const messages = splitMessages(JSON.stringify(value, null, indent));
        expect(messages.map((text) => JSON.parse(text) as unknown)).toEqual(
          Array.isArray(value) ? JSON.parse(JSON.stringify(value)) : [JSON.parse(JSON.stringify(value))],
        );
        expect(splitList(messages.join(','))).toEqual(messages);
      }),
    );
  });

  it('keep numbers that a double cannot hold', () => {
    expect(splitMessages('[12345678901234567890, 1.0]')).toEqual(['12345678901234567890', '1.0']);
  });
});

describe('offset tokens', () => {
  it('rise as text and come back', () => {
    const tokens = [0, 9, 10, 99, 100, 12_345].map((count) => encodeOffset(count, 'e1'));
    expect(tokens.toSorted()).toEqual(tokens);
    expect(parseOffset(encodeOffset(12, 'a_b-c'))).toEqual({ count: 12, epoch: 'a_b-c' });
    expect(parseOffset('0000000000000000_0000000000000000')).toEqual({ count: 0, epoch: undefined });
    for (const bad of ['', '12', '12_e', 'x'.repeat(40), `${encodeOffset(1, 'e')},`, `${encodeOffset(1, 'e')}/..`])
      expect(parseOffset(bad)).toBeUndefined();
  });
});
