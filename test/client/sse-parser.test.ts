// The event stream parser, against examples of the standard, and against itself for any cut of the bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SSE_MESSAGE_LENGTH_MAX, SseParser } from '../../src/client/protocol/sse-parser.ts';
import type { SseItem } from '../../src/client/protocol/sse-parser.ts';

function parse(...chunks: (string | Uint8Array)[]): SseItem[] {
  const parser = new SseParser();
  const encoder = new TextEncoder();
  return chunks.flatMap((chunk) => parser.push(typeof chunk === 'string' ? encoder.encode(chunk) : chunk));
}

const message = (data: string, event = 'message', id?: string): SseItem => ({
  kind: 'message',
  event,
  data,
  ...(id === undefined ? {} : { id }),
});

describe('the SSE parser', () => {
  it('reads id, event and data', () => {
    expect(parse('id: e.1\nevent: delta\ndata: {"a":1}\n\n')).toEqual([message('{"a":1}', 'delta', 'e.1')]);
  });

  it('joins several data lines, and takes away one leading space only', () => {
    expect(parse('data: a\ndata:b\ndata:  c\ndata\n\n')).toEqual([message('a\nb\n c\n')]);
  });

  it('reports no id for a message without one, even when the message before had one', () => {
    expect(parse('id: 1\ndata: a\n\nevent: live\ndata: b\n\n')).toEqual([
      message('a', 'message', '1'),
      message('b', 'live'),
    ]);
  });

  it('ignores comments, unknown fields, messages without data, and an id with a NUL', () => {
    expect(parse(': hb\n\nfoo: bar\nevent: x\n\nid: a\0b\ndata: d\n\n')).toEqual([message('d')]);
  });

  it('never gives a message whose blank line has not come', () => {
    expect(parse('data: a\n')).toEqual([]);
  });

  it('reports retry only when it is a number', () => {
    expect(parse('retry: 1500\nretry: soon\nretry:\n\n')).toEqual([{ kind: 'retry', retryMs: 1500 }]);
  });

  it('treats a CRLF that was cut in half as one line end', () => {
    expect(parse('data: a\r', '\n', '\r', '\ndata: b\r\n\r\n')).toEqual([message('a'), message('b')]);
  });

  it('strips one byte order mark, and only at the start', () => {
    expect(parse('\uFEFFdata: a\n\ndata: \uFEFFb\n\n')).toEqual([message('a'), message('\uFEFFb')]);
  });

  it('refuses an endless message before it takes all memory', () => {
    const parser = new SseParser();
    const chunk = new Uint8Array(1024 * 1024).fill(97);
    const feed = (): void => {
      for (let length = 0; length <= SSE_MESSAGE_LENGTH_MAX; length += chunk.length) parser.push(chunk);
    };
    expect(feed).toThrow(RangeError);
  });
});

const lineEnd = fc.constantFrom('\n', '\r', '\r\n');
const field = fc.constantFrom('id', 'event', 'data', 'retry', 'x', '');
const value = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('é€😀', '12', 'a:b', '\uFEFF'));
const line = fc
  .tuple(field, fc.constantFrom(':', ': ', ''), value)
  .map(([name, colon, text]) => `${name}${colon}${text.replace(/[\r\n]/g, '')}`);
const stream = fc.array(fc.tuple(fc.oneof(line, fc.constant('')), lineEnd), { maxLength: 40 });

describe('for any stream', () => {
  it('gives the same messages for any cut of the bytes', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat({ max: 400 }), { maxLength: 30 }), (lines, cuts) => {
        const bytes = new TextEncoder().encode(lines.map((pair) => pair.join('')).join(''));
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        expect(parse(...chunks)).toEqual(parse(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same messages byte by byte, and whichever line end is used', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(line, fc.constant('')), { maxLength: 30 }), lineEnd, (lines, end) => {
        const text = lines.map((item) => item + end).join('');
        const bytes = new TextEncoder().encode(text);
        const whole = parse(lines.map((item) => `${item}\n`).join(''));
        expect(parse(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  it('never throws on bytes that are no text', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parse(bytes)));
  });
});
