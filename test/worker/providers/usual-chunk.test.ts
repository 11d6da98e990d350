// A chunk that repeats the one before it but for its text is read without parsing it. Nobody may notice: any stream
// gives the same events in pieces that allow that as byte by byte, which never does.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsualChunk } from '../../../src/worker/providers/openai/usual-chunk.ts';
import { DEFAULT_UPSTREAM_LIMITS } from '../../../src/worker/providers/upstream/upstream-limits.ts';
import { decodeStream } from './decoded-stream.ts';

const byteByByte = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]));

/** The shape of a chunk: `$` is the place of its text, as JSON. */
const SHAPES = [
  '{"id":"c-1","choices":[{"index":0,"delta":{"content":$},"finish_reason":null}]}',
  '{"id": "c-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": $}, "finish_reason": null}]}',
  '{"choices":[{"delta":{"content":$}}]}',
  '{"choices":[{"index":1,"delta":{"content":$}}]}',
  // The first place that looks like the content is another field.
  '{"note":{"content":$},"choices":[{"index":0,"delta":{"content":$}}]}',
  '{"note":"\\"content\\":\\"x\\"","choices":[{"index":0,"delta":{"content":$}}]}',
  '{"note":{"content":$},"choices":[{"index":0,"delta":{"content":"fixed"}}]}',
  '{"choices":[{"index":0,"delta":{"content":"early","content":$}}]}',
  '{"choices":[{"index":0,"delta":{"content":$,"content":"fixed"}}]}',
  '{"choices":[{"index":0,"delta":{"content":$,"reasoning":$}}]}',
  '{"choices":[{"index":0,"delta":{"content":$,"refusal":"no"}}]}',
  '{"choices":[{"index":0,"delta":{"content":$}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}',
  '{"choices":[{"index":0,"delta":{"content":$},"finish_reason":"stop"}]}',
  '{"choices":[{"index":0,"delta":{"content":$}},{"index":1,"delta":{"content":$}}]}',
  '{"choices":[{"index":0,"delta":{"content":$},"error":null}],"error":null}',
  '{"choices":[{"index":0,"delta":{"content":$}}],"error":{"code":500}}',
  '{"choices":[{"index":0,"delta":{"reasoning_content":$}}]}',
  '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":$}}]}}]}',
  '{"object":"chat.completion","choices":[{"index":0,"message":{"content":$}}]}',
  '{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":$}]}}]}',
  '{"choices":[{"index":0,"delta":{"content":$},"error":null,"usage":{"prompt_tokens":5,"completion_tokens":6}}]}',
  // Without a text of its own: what it says about the answer must not be lost behind a usual chunk, nor come back.
  '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9}}',
  '{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}',
] as const;

const text = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: 'grapheme', maxLength: 8 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
  fc.constantFrom(
    '',
    'fixed',
    'fixed',
    ' word',
    '"',
    '\\',
    '\n',
    '[DONE]',
    'another text of holdline',
    '$&',
    'é',
    '\u{1f600}',
  ),
);
const json = fc.oneof(
  { weight: 6, arbitrary: text.map((one) => JSON.stringify(one)) },
  // Escapes that JSON.stringify does not write, control characters and broken strings.
  fc.constantFrom('"\\u0041"', '"a\\/b"', '"\u0001"', '"open', 'null', '7', '"a"b"'),
);
const framing = fc.constantFrom(
  ...Array.from({ length: 8 }, () => ['data: ', '\n\n'] as const),
  ['data:', '\n\n'] as const,
  ['data: ', '\r\n\r\n'] as const,
  ['event: message\ndata: ', '\n\n'] as const,
  [': ping\n\ndata: ', '\n\n'] as const,
  ['data: ', '\n'] as const,
  ['', '\n'] as const,
);
const shape = fc.constantFrom(...SHAPES);
/** The same chunk several times with different texts, as servers send it, and one other chunk between them. */
const repeated = fc
  .tuple(shape, fc.option(shape), framing, fc.array(json, { minLength: 1, maxLength: 6 }))
  .map(([usual, other, [before, after], texts]) => {
    const chunk = (one: string, text: string): Buffer => Buffer.from(before + one.replaceAll('$', () => text) + after);
    const chunks = texts.map((text) => chunk(usual, text));
    return other === null ? chunks : [...chunks, chunk(other, '"other"'), ...chunks];
  });
const broken = fc.uint8Array({ maxLength: 6 }).map((bytes) => [Buffer.from(bytes)]);
const events = fc
  .array(fc.oneof({ weight: 12, arbitrary: repeated }, { weight: 1, arbitrary: broken }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((groups) => groups.flat());

/** Joins neighbours, then splits what was joined: most pieces are whole events, some hold several, some a part. */
function inPieces(all: readonly Buffer[], joins: readonly boolean[], cuts: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (const [i, bytes] of all.entries()) {
    const last = joins[i % joins.length] === true ? pieces.pop() : undefined;
    pieces.push(last === undefined ? bytes : Buffer.concat([last, bytes]));
  }
  for (const cut of cuts) {
    const at = cut % pieces.length;
    const piece = pieces[at];
    if (piece === undefined || piece.length < 2) continue;
    const place = 1 + (cut % (piece.length - 1));
    pieces.splice(at, 1, piece.subarray(0, place), piece.subarray(place));
  }
  return pieces;
}

it('gives the same events as a stream that is parsed whole, for any chunks in any pieces', () => {
  fc.assert(
    fc.property(
      events,
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 4 }),
      fc.constantFrom(DEFAULT_UPSTREAM_LIMITS.eventBytesMax, 90),
      (all, joins, cuts, eventBytesMax) => {
        const expected = decodeStream(byteByByte(Buffer.concat(all)), { eventBytesMax });
        // Where one event is over the limit, its pieces decide how soon that is noticed.
        if (expected.fault === 'upstream-too-large') return;
        expect(decodeStream(inPieces(all, joins, cuts), { eventBytesMax })).toEqual(expected);
      },
    ),
    { numRuns: 5_000 },
  );
});

describe('a usual chunk', () => {
  const before = 'data: {"choices":[{"index":0,"delta":{"content":"';
  const after = '"},"finish_reason":null}]}\n\n';
  const chunk = (said: string): Buffer => Buffer.from(before + said + after);

  it('is read wherever it stands, and what follows is not', () => {
    const usual = UsualChunk.learn(chunk('one'), 'one');
    const bytes = Buffer.concat([chunk('zwei'), chunk('drei \u{1f600}'), Buffer.from('data: [DONE]\n\n')]);
    expect(usual?.read(bytes, 0)).toBe('zwei');
    const second = usual?.end ?? 0;
    expect(usual?.read(bytes, second)).toBe('drei \u{1f600}');
    expect(usual?.read(bytes, usual.end)).toBeUndefined();
  });

  it.each(['', 'a\\n', 'a"b', 'tab\t'])('is not read where its text is %j in JSON', (said) => {
    expect(UsualChunk.learn(chunk('one'), 'one')?.read(chunk(said), 0)).toBeUndefined();
  });

  it.each([
    ['whose first content is another field', '{"note":{"content":"one"},"choices":[{"delta":{"content":"one"}}]}'],
    ['whose content is there twice', '{"choices":[{"delta":{"content":"one","content":"one"}}]}'],
    ['that ends the answer', '{"choices":[{"delta":{"content":"one"},"finish_reason":"stop"}]}'],
    [
      'that reports usage',
      '{"choices":[{"delta":{"content":"one"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    ],
    ['with another choice', '{"choices":[{"delta":{"content":"one"}},{"index":1,"delta":{"content":"two"}}]}'],
    ['with reasoning', '{"choices":[{"delta":{"content":"one","reasoning":"hm"}}]}'],
    ['with a refusal', '{"choices":[{"delta":{"content":"one","refusal":"no"}}]}'],
    ['with a tool call', '{"choices":[{"delta":{"content":"one","tool_calls":[]}}]}'],
    ['with a message', '{"choices":[{"delta":{"content":"one"},"message":{"content":"one"}}]}'],
    ['with the field of an error', '{"choices":[{"delta":{"content":"one"},"error":null}]}'],
    ['that is a failure', '{"choices":[{"delta":{"content":"one"}}],"error":{"code":500}}'],
    ['that is a whole answer', '{"object":"chat.completion","choices":[{"delta":{"content":"one"}}]}'],
  ])('is not learned from a chunk %s', (_what, data) => {
    expect(UsualChunk.learn(Buffer.from(`data: ${data}\n\n`), 'one')).toBeUndefined();
  });

  it('is not learned from a text that another field has as two tokens', () => {
    const data = '{"content":"a","b":1,"choices":[{"delta":{"content":"a\\","}}]}';
    expect(UsualChunk.learn(Buffer.from(`data: ${data}\n\n`), 'a",')).toBeUndefined();
  });

  it('is not read where the bytes are not UTF-8, or end early', () => {
    const usual = UsualChunk.learn(chunk('one'), 'one');
    const bytes = chunk('xy');
    bytes[before.length] = 0xff;
    expect(usual?.read(bytes, 0)).toBeUndefined();
    for (let length = 0; length < chunk('two').length; length += 1)
      expect(usual?.read(chunk('two').subarray(0, length), 0)).toBeUndefined();
  });
});
