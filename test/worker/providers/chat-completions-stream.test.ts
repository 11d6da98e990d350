// From the bytes of a streamed completion to events: with every field that a server may leave out, repeat or spoil, and
// with any cut of the bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProviderEvent } from '../../../src/worker/provider.ts';
import { ChatCompletionsStream } from '../../../src/worker/providers/openai/chat-completions-stream.ts';
import { TOOL_CALLS_MAX } from '../../../src/worker/providers/openai/tool-call-deltas.ts';
import {
  DEFAULT_UPSTREAM_LIMITS,
  type UpstreamLimits,
} from '../../../src/worker/providers/upstream/upstream-limits.ts';
import { decodeStream, type DecodedStream } from './decoded-stream.ts';
import { deltaEvent, DONE, finishEvent, sse, textEvent, usageEvent } from '../../support/scripted-upstream.ts';

function read(text: string, limits?: Partial<UpstreamLimits>): DecodedStream {
  return decodeStream([Buffer.from(text)], limits);
}

/** The events between a first token and the end. */
function readAmid(...lines: readonly string[]): DecodedStream {
  return read([textEvent('a'), ...lines, finishEvent(), DONE].join(''));
}

const A: ProviderEvent = { type: 'text', text: 'a' };
const STOP: ProviderEvent = { type: 'finish', reason: 'stop' };

describe('an answer', () => {
  it('is text, usage and a finish', () => {
    expect(read(textEvent('Hel') + textEvent('lo') + finishEvent() + usageEvent(3, 2) + DONE)).toEqual({
      events: [
        { type: 'text', text: 'Hel' },
        { type: 'text', text: 'lo' },
        { type: 'usage', usage: { inputTokens: 3, outputTokens: 2 } },
        STOP,
      ],
      fault: undefined,
    });
  });

  it('may bring its last text and its finish in one chunk, and end without [DONE]', () => {
    expect(read(deltaEvent({ content: 'a' }, 'stop'))).toEqual({ events: [A, STOP], fault: undefined });
  });

  it('may end with [DONE] alone', () => {
    expect(read(textEvent('a') + DONE)).toEqual({ events: [A, { type: 'finish', reason: 'other' }], fault: undefined });
  });

  it.each([
    ['stop', 'stop'],
    ['length', 'length'],
    ['tool_calls', 'tool-calls'],
    ['function_call', 'tool-calls'],
    ['content_filter', 'content-filter'],
    ['eos_token', 'stop'],
    ['whatever', 'other'],
  ])('ends for the reason %s as %s', (reason, expected) => {
    expect(read(finishEvent(reason) + DONE).events).toEqual([{ type: 'finish', reason: expected }]);
  });

  it.each(['error', 'abort'])('fails when it ends for the reason %s', (reason) => {
    expect(read(textEvent('a') + finishEvent(reason) + DONE)).toEqual({ events: [A], fault: 'upstream-error' });
  });

  it('does not end with an empty finish reason, which some servers write into every chunk', () => {
    expect(read(deltaEvent({ content: 'a' }, '')).fault).toBe('upstream-truncated');
  });

  it('emits nothing after [DONE]', () => {
    expect(read(textEvent('a') + finishEvent() + DONE + textEvent('b') + sse('not JSON') + DONE)).toEqual({
      events: [A, STOP],
      fault: undefined,
    });
  });

  it('loses no text that comes after its finish reason', () => {
    expect(read(textEvent('a') + finishEvent() + textEvent('b') + DONE).events).toEqual([
      A,
      { type: 'text', text: 'b' },
      STOP,
    ]);
  });

  it('is cut when there is no finish reason and no [DONE], however much of it came', () => {
    expect(read(textEvent('a') + usageEvent(1, 1))).toEqual({ events: [A], fault: 'upstream-truncated' });
    expect(read(textEvent('a') + finishEvent().slice(0, -3))).toEqual({ events: [A], fault: 'upstream-truncated' });
    expect(read('').fault).toBe('upstream-truncated');
  });
});

describe('a delta', () => {
  it('carries reasoning under either name, once when under both', () => {
    const reasoning = { type: 'reasoning', text: 'hm' };
    expect(readAmid(deltaEvent({ reasoning_content: 'hm' })).events).toEqual([A, reasoning, STOP]);
    expect(readAmid(deltaEvent({ reasoning: 'hm', content: null })).events).toEqual([A, reasoning, STOP]);
    expect(readAmid(deltaEvent({ reasoning: 'hm', reasoning_content: 'hm' })).events).toEqual([A, reasoning, STOP]);
  });

  it('carries a refusal, which is text to the reader', () => {
    expect(readAmid(deltaEvent({ refusal: 'No.' })).events).toEqual([A, { type: 'text', text: 'No.' }, STOP]);
  });

  it('is empty when it has nothing to say', () => {
    expect(
      readAmid(
        deltaEvent({ role: 'assistant', content: '' }),
        deltaEvent({ content: null, reasoning: null, tool_calls: null }),
      ).events,
    ).toEqual([A, STOP]);
    expect(
      readAmid(sse({ choices: [{ index: 0, delta: null }] }), sse({ choices: [{}] }), sse({ choices: null }), sse({}))
        .events,
    ).toEqual([A, STOP]);
  });

  it('may come in a choice without a number', () => {
    expect(readAmid(sse({ choices: [{ delta: { content: 'b' } }] })).events).toEqual([
      A,
      { type: 'text', text: 'b' },
      STOP,
    ]);
  });

  it('is ignored when it belongs to another choice than the first', () => {
    expect(readAmid(sse({ choices: [{ index: 1, delta: { content: 'b' } }] })).events).toEqual([A, STOP]);
  });

  it.each([
    ['content', { content: 7 }],
    ['reasoning', { reasoning: 7 }],
    ['tool calls', { tool_calls: {} }],
    ['a tool call', { tool_calls: ['x'] }],
    ['arguments', { tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: 7 } }] }],
  ])('whose %s is of the wrong type is malformed, not lost', (_what, delta) => {
    expect(readAmid(deltaEvent(delta))).toEqual({ events: [A], fault: 'upstream-malformed' });
  });
});

describe('tool calls', () => {
  const calls = (...list: object[]): string => deltaEvent({ tool_calls: list });
  const call = (index: number, argumentsText: string, first?: { id: string; name?: string }): ProviderEvent => ({
    type: 'tool-call',
    index,
    ...first,
    argumentsText,
  });

  it('come in pieces, with id and name at the first', () => {
    const outcome = readAmid(
      calls({ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }),
      calls(
        { index: 0, function: { arguments: '{"x"' } },
        { index: 1, id: 'c2', function: { name: 'g', arguments: '{}' } },
      ),
      calls({ index: 0, id: 'c1', function: { name: 'f', arguments: ':1}' } }),
    );
    expect(outcome.events).toEqual([
      A,
      call(0, '', { id: 'c1', name: 'f' }),
      call(0, '{"x"'),
      call(1, '{}', { id: 'c2', name: 'g' }),
      call(0, ':1}'),
      STOP,
    ]);
  });

  it('are distinguished by their id when a server sends no index, or one for all', () => {
    const expected = [
      A,
      call(0, '{}', { id: 'c1', name: 'f' }),
      call(1, '{', { id: 'c2', name: 'g' }),
      call(1, '}'),
      STOP,
    ];
    const first = { id: 'c1', function: { name: 'f', arguments: '{}' } };
    const second = { id: 'c2', function: { name: 'g', arguments: '{' } };
    const rest = { function: { arguments: '}' } };
    expect(readAmid(calls(first), calls(second), calls(rest)).events).toEqual(expected);
    expect(
      readAmid(calls({ index: 0, ...first }), calls({ index: 0, ...second }), calls({ index: 0, ...rest })).events,
    ).toEqual(expected);
  });

  it('get dense indexes from us', () => {
    expect(
      readAmid(
        calls({ index: 7, id: 'c1', function: { name: 'f' } }),
        calls({ index: 7, function: { arguments: '{}' } }),
      ).events,
    ).toEqual([A, call(0, '', { id: 'c1', name: 'f' }), call(0, '{}'), STOP]);
  });

  it('are bounded', () => {
    const many = Array.from({ length: TOOL_CALLS_MAX + 1 }, (_, index) => ({
      index,
      id: `c${index}`,
      function: { name: 'f' },
    }));
    const outcome = readAmid(calls(...many));
    expect(outcome.fault).toBe('upstream-too-large');
    expect(outcome.events).toHaveLength(1 + TOOL_CALLS_MAX);
  });
});

describe('usage', () => {
  it('is the last one sent, once, before the finish', () => {
    const outcome = read(
      usageEvent(1, 1) + textEvent('a') + usageEvent(1, 2) + finishEvent() + usageEvent(1, 3) + DONE,
    );
    expect(outcome.events).toEqual([A, { type: 'usage', usage: { inputTokens: 1, outputTokens: 3 } }, STOP]);
  });

  it.each([
    [{ prompt_tokens: -1, completion_tokens: 1 }],
    [{ prompt_tokens: 1, completion_tokens: 1.5 }],
    [{ prompt_tokens: '1', completion_tokens: 1 }],
    [{ prompt_tokens: 1 }],
    [{ prompt_tokens: 1, completion_tokens: 1e300 }],
    ['many'],
    [null],
  ])('that cannot be true is left out: %j', (usage) => {
    expect(readAmid(sse({ choices: [], usage })).events).toEqual([A, STOP]);
  });
});

describe('an error inside the stream', () => {
  it.each([
    [{ error: { message: 'CUDA out of memory', type: 'server_error', code: null } }, 'upstream-error'],
    [{ error: 'it broke' }, 'upstream-error'],
    [{ error: { code: 429, message: 'slow down' } }, 'upstream-rate-limited'],
    [{ error: { type: 'rate_limit_error' } }, 'upstream-rate-limited'],
    [{ error: { code: 400, type: 'BadRequestError' } }, 'upstream-refused'],
    [{ object: 'error', message: 'it broke', code: 502 }, 'upstream-error'],
    [
      { error: { message: 'late' }, choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }] },
      'upstream-error',
    ],
  ])('is thrown after what came before it: %j', (error, code) => {
    expect(readAmid(sse(error))).toEqual({ events: [A], fault: code });
  });

  it('may be marked by the name of its event alone', () => {
    expect(readAmid('event: error\n' + sse({ message: 'it broke' }))).toEqual({ events: [A], fault: 'upstream-error' });
  });

  it('is no error when it is null', () => {
    expect(readAmid(sse({ error: null, choices: [] })).fault).toBeUndefined();
  });

  it('counts after the finish reason too: the server revokes its finish', () => {
    expect(read(textEvent('a') + finishEvent() + sse({ error: { message: 'late' } }) + DONE)).toEqual({
      events: [A],
      fault: 'upstream-error',
    });
  });
});

describe('bytes that are not the protocol', () => {
  it.each([
    ['no JSON', sse('{"choices":[{"delta":{"content":"b')],
    ['a list', sse([])],
    ['a number', sse('7')],
    ['choices that are no list', sse({ choices: { 0: {} } })],
    ['a choice that is no object', sse({ choices: [null] })],
  ])('%s', (_what, event) => {
    expect(readAmid(event)).toEqual({ events: [A], fault: 'upstream-malformed' });
  });

  it('another format', () => {
    expect(read('<!doctype html>\n<p>Welcome</p>\n').fault).toBe('upstream-malformed');
    expect(read('<!doctype html>\n<p>Bad gateway</p>\n').fault).toBe('upstream-error');
  });

  it('never appear in the message', () => {
    const stream = new ChatCompletionsStream(DEFAULT_UPSTREAM_LIMITS);
    stream.push(Buffer.from(sse('SECRET{')));
    expect(String(stream.fault)).not.toContain('SECRET');
    expect(stream.fault?.cause).toBeUndefined();
  });
});

describe('event stream syntax', () => {
  const lines = [
    ': keep-alive\n\n',
    'id: 7\nretry: soon\nevent: message\nunknown: field\n',
    textEvent('a'),
    finishEvent(),
    DONE,
  ].join('');

  it.each([
    ['LF', lines],
    ['CRLF', lines.replaceAll('\n', '\r\n')],
    ['CR', lines.replaceAll('\n', '\r')],
    ['a byte order mark', `\ufeff${lines}`],
    ['no space after the colon', lines.replaceAll('data: ', 'data:')],
    ['several data lines', lines.replaceAll('"choices":', '\ndata: "choices":')],
  ])('with %s', (_what, text) => {
    expect(read(text)).toEqual({ events: [A, STOP], fault: undefined });
  });
});

describe('limits', () => {
  it('one event, whether it comes in one piece or grows', () => {
    const big = textEvent('x'.repeat(2000));
    const pieces = Array.from({ length: big.length / 100 }, (_, index) =>
      Buffer.from(big.slice(index * 100, (index + 1) * 100)),
    );
    expect(read(textEvent('a') + big, { eventBytesMax: 1000 })).toEqual({ events: [A], fault: 'upstream-too-large' });
    expect(decodeStream([Buffer.from(textEvent('a')), ...pieces], { eventBytesMax: 1000 })).toEqual({
      events: [A],
      fault: 'upstream-too-large',
    });
    expect(
      decodeStream([Buffer.from(textEvent('a')), Buffer.from(`: ${'x'.repeat(2000)}`)], { eventBytesMax: 1000 }).fault,
    ).toBe('upstream-too-large');
  });

  it('one answer: text, reasoning and arguments together, in bytes', () => {
    const parts = [
      textEvent('é'),
      deltaEvent({ reasoning: 'é' }),
      deltaEvent({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'f', arguments: 'é' } }] }),
    ].join('');
    expect(read(parts + finishEvent() + DONE, { answerBytesMax: 6 }).fault).toBeUndefined();
    expect(read(parts + finishEvent() + DONE, { answerBytesMax: 5 })).toMatchObject({
      events: [{ type: 'text' }, { type: 'reasoning' }],
      fault: 'upstream-too-large',
    });
  });

  it('one response, of events without content', () => {
    const nothing = Buffer.from(deltaEvent({}));
    expect(
      decodeStream(
        Array.from({ length: 100 }, () => nothing),
        { streamBytesMax: 50 * nothing.length },
      ).fault,
    ).toBe('upstream-too-large');
  });
});

describe('any cut of the bytes', () => {
  const token = fc.string({ unit: 'binary', maxLength: 12 });
  const event = fc.oneof(
    token.map(textEvent),
    token.map((reasoning) => deltaEvent({ reasoning })),
    fc
      .record({ index: fc.nat(2), text: token })
      .map(({ index, text }) => deltaEvent({ tool_calls: [{ index, function: { arguments: text } }] })),
    fc.constant(': keep-alive\n\n'),
  );
  const ending = fc.constantFrom(
    finishEvent() + DONE,
    finishEvent('length') + usageEvent(5, 6) + DONE,
    finishEvent(),
    '',
    sse({ error: 'x' }),
    sse('{'),
  );
  const newline = fc.constantFrom('\n', '\r\n', '\r');

  it('gives the same events', () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 12 }),
        ending,
        newline,
        fc.array(fc.nat(), { maxLength: 40 }),
        (body, end, eol, cuts) => {
          // One more comment: the parser holds back a CR at the end of a piece, as it may be half of a CRLF.
          const bytes = Buffer.from(`${[...body, end].join('').replaceAll('\n', eol)}:\n`);
          const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
          const pieces = [0, ...places].map((start, index) => bytes.subarray(start, places[index]));
          expect(decodeStream(pieces)).toEqual(decodeStream([bytes]));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives the same events byte by byte, through emoji and accents', () => {
    const bytes = Buffer.from(
      textEvent('naïve 👩‍🚀 🇩🇪 \u2028') + deltaEvent({ reasoning: '思考' }) + finishEvent() + DONE,
    );
    const outcome = decodeStream(Array.from(bytes, (_byte, index) => bytes.subarray(index, index + 1)));
    expect(outcome.events).toEqual([
      { type: 'text', text: 'naïve 👩‍🚀 🇩🇪 \u2028' },
      { type: 'reasoning', text: '思考' },
      STOP,
    ]);
  });
});
