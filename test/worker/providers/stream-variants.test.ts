// One answer in all the ways in which servers write it: every spelling, noise between events and cut of the bytes gives
// the same events. A stream that was cut anywhere fails, or was whole.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FinishReason, ProviderEvent, Usage } from '../../../src/worker/provider.ts';
import { ChatCompletionsStream } from '../../../src/worker/providers/openai/chat-completions-stream.ts';
import { truncated } from '../../../src/worker/providers/upstream/upstream-errors.ts';
import { DEFAULT_UPSTREAM_LIMITS } from '../../../src/worker/providers/upstream/upstream-limits.ts';

interface Said {
  readonly kind: 'text' | 'reasoning' | 'call';
  readonly text: string;
  /** The index of a call, one of three. */
  readonly call: number;
}

interface Answer {
  readonly said: readonly Said[];
  readonly finish: 'stop' | 'length' | 'tool_calls';
  readonly usage: Usage | undefined;
}

interface Heard {
  text: string;
  reasoning: string;
  readonly calls: { id: string | undefined; name: string | undefined; args: string }[];
  usage: Usage | undefined;
  finish: FinishReason | undefined;
  fault: string | undefined;
}

/** The spelling of one server. */
interface Style {
  readonly index: 0 | 1 | null | '0';
  readonly content: 'string' | 'parts' | 'part' | 'strings';
  readonly reasoning: 'reasoning_content' | 'reasoning' | 'thinking' | 'both' | 'parts';
  readonly calls: 'plain' | 'late-id' | 'late-name' | 'new-ids' | 'flat';
  readonly role: boolean;
  readonly usage: 'own' | 'choice' | 'vendor';
  readonly framing: 'sse' | 'lines';
  readonly eol: '\n' | '\r\n' | '\r';
  readonly ending: 'marker' | 'clean' | 'bare';
  readonly bom: boolean;
}

const words = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
const answers: fc.Arbitrary<Answer> = fc.record({
  said: fc.array(
    fc.record({ kind: fc.constantFrom('text', 'text', 'reasoning', 'call'), text: words, call: fc.nat(2) }),
    { minLength: 1, maxLength: 12 },
  ),
  finish: fc.constantFrom('stop', 'length', 'tool_calls'),
  usage: fc.option(fc.record({ inputTokens: fc.integer({ min: 1, max: 999 }), outputTokens: fc.nat(999) }), {
    nil: undefined,
  }),
});
const styles: fc.Arbitrary<Style> = fc.record({
  index: fc.constantFrom<Style['index'][]>(0, 0, 1, null, '0'),
  content: fc.constantFrom('string', 'string', 'parts', 'part', 'strings'),
  reasoning: fc.constantFrom('reasoning_content', 'reasoning', 'thinking', 'both', 'parts'),
  calls: fc.constantFrom('plain', 'plain', 'late-id', 'late-name', 'new-ids', 'flat'),
  role: fc.boolean(),
  usage: fc.constantFrom('own', 'choice', 'vendor'),
  framing: fc.constantFrom('sse', 'sse', 'sse', 'lines'),
  eol: fc.constantFrom('\n', '\n', '\r\n', '\r'),
  ending: fc.constantFrom('marker', 'clean', 'bare'),
  bom: fc.boolean(),
});
/** Whole events and lines without content. */
const noise = fc.constantFrom(
  ': ping\n\n',
  'data:\n\n',
  'data: \n\n',
  'event: ping\ndata: 12:00\n\n',
  'data: {}\n\n',
  'data: null\n\n',
  'data: ping\n\n',
  'data: : PROCESSING\n\n',
  'retry: 3000\n\n',
  'id: 7\n',
  'unknown: field\n',
  'event: heartbeat\ndata: {}\n\n',
  'data: {"type":"ping"}\n\n',
  'data: {"choices":[]}\n\n',
  'data: {"choices":[],"prompt_filter_results":[{"index":0}]}\n\n',
  'event: keep-alive\ndata:\n\n',
);
const noises = fc.array(fc.option(noise, { nil: '' }), { minLength: 24, maxLength: 24 });
const cuts = fc.array(fc.nat(), { maxLength: 30 });

const PLAIN: Style = {
  index: 0,
  content: 'string',
  reasoning: 'reasoning_content',
  calls: 'plain',
  role: false,
  usage: 'own',
  framing: 'sse',
  eol: '\n',
  ending: 'marker',
  bom: false,
};

/** The events of an answer, each whole. */
function eventsOf({ said, finish, usage }: Answer, style: Style): string[] {
  const pieces = new Map<number, number>();
  const chunk = (delta: object, more: object = {}): string =>
    frame({ id: 'c-1', choices: [{ index: style.index, delta, finish_reason: null, ...more }] }, style);
  const events = style.role ? [chunk({ role: 'assistant', content: '' })] : [];
  for (const { kind, text, call } of said) {
    if (kind === 'text') events.push(chunk({ content: contentOf(text, style) }));
    else if (kind === 'reasoning') events.push(chunk(reasoningOf(text, style)));
    else {
      const piece = pieces.get(call) ?? 0;
      pieces.set(call, piece + 1);
      events.push(chunk({ tool_calls: [callOf(call, piece, text, style)] }));
    }
  }
  // An id or a name that comes late comes in every spelling.
  for (const [call, count] of pieces)
    if (count === 1 && /late/.test(style.calls)) events.push(chunk({ tool_calls: [callOf(call, 1, '', style)] }));
  const wire =
    usage === undefined ? undefined : { prompt_tokens: usage.inputTokens, completion_tokens: usage.outputTokens };
  events.push(
    chunk({}, { finish_reason: finish, ...(wire !== undefined && style.usage === 'choice' ? { usage: wire } : {}) }),
  );
  if (wire !== undefined && style.usage !== 'choice')
    events.push(
      frame({ choices: [], ...(style.usage === 'own' ? { usage: wire } : { x_vendor: { usage: wire } }) }, style),
    );
  return events;
}

function frame(event: object, style: Style): string {
  return style.framing === 'sse' ? `data: ${JSON.stringify(event)}\n\n` : `${JSON.stringify(event)}\n`;
}

function contentOf(text: string, { content }: Style): unknown {
  if (content === 'parts')
    return [
      { type: 'text', text },
      { type: 'reference', ids: [1] },
    ];
  if (content === 'part') return { type: 'text', text };
  return content === 'strings' ? [text] : text;
}

function reasoningOf(text: string, { reasoning }: Style): object {
  if (reasoning === 'both') return { reasoning_content: text, reasoning: text };
  if (reasoning === 'parts') return { content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] };
  return { content: null, [reasoning]: text };
}

/** The arguments are pieces of a JSON text that is never whole, so that only the fields of a piece can tell the calls
 *  apart. */
function callOf(call: number, piece: number, text: string, { calls }: Style): object {
  const name = `tool${call}`;
  const id = `id${call}`;
  const isFirst = piece === 0;
  const body = { arguments: text };
  if (calls === 'flat') return { index: call, id, ...body, ...(isFirst ? { name } : {}) };
  if (calls === 'late-id')
    return { index: call, ...(piece === 1 ? { id } : {}), function: { ...body, ...(isFirst ? { name } : {}) } };
  if (calls === 'late-name')
    return { index: call, ...(isFirst ? { id } : {}), function: { ...body, ...(piece === 1 ? { name } : {}) } };
  if (calls === 'new-ids')
    return { index: call, id: isFirst ? id : `${id}-${piece}`, function: { ...body, ...(isFirst ? { name } : {}) } };
  return { index: call, ...(isFirst ? { id } : {}), function: { ...body, ...(isFirst ? { name } : {}) } };
}

function bytesOf(answer: Answer, style: Style, between: readonly string[]): Buffer {
  const events = eventsOf(answer, style);
  // The heartbeats of an event stream cannot be between lines of JSON.
  const noisy = events
    .map((event, i) => `${style.framing === 'sse' ? (between[i % between.length] ?? '') : ''}${event}`)
    .join('');
  const marker = style.ending === 'marker' ? 'data: [DONE]\n\n' : '';
  const whole = style.ending === 'bare' ? noisy.trimEnd() : noisy + marker;
  return Buffer.from((style.bom ? '\ufeff' : '') + whole.replaceAll('\n', style.eol));
}

function hear(bytes: Buffer, cutAt: readonly number[], end: 'clean' | 'broken'): Heard {
  const stream = new ChatCompletionsStream(DEFAULT_UPSTREAM_LIMITS);
  const places = [...new Set(cutAt.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const heard: Heard = { text: '', reasoning: '', calls: [], usage: undefined, finish: undefined, fault: undefined };
  for (const [i, from] of [0, ...places].entries()) {
    stream.push(bytes.subarray(from, places[i] ?? bytes.length));
    for (const event of stream.take()) add(heard, event);
  }
  if (end === 'clean') stream.end();
  else stream.breakOff(truncated());
  for (const event of stream.take()) add(heard, event);
  heard.fault = stream.fault?.code;
  return heard;
}

function add(heard: Heard, event: ProviderEvent): void {
  if (event.type === 'text' || event.type === 'reasoning') heard[event.type] += event.text;
  else if (event.type === 'usage') heard.usage = event.usage;
  else if (event.type === 'finish') heard.finish = event.reason;
  else if (event.type === 'tool-call') {
    const call = (heard.calls[event.index] ??= { id: event.id, name: event.name, args: '' });
    call.args += event.argumentsText;
  }
}

/** What the answer means, computed from the answer itself and not by tested code. */
function meant({ said, finish, usage }: Answer): Heard {
  const of = (kind: Said['kind']): string =>
    said
      .filter((one) => one.kind === kind)
      .map(({ text }) => text)
      .join('');
  const order = [...new Set(said.filter(({ kind }) => kind === 'call').map(({ call }) => call))];
  const calls = order.map((call) => ({
    id: `id${call}`,
    name: `tool${call}`,
    args: said
      .filter((one) => one.kind === 'call' && one.call === call)
      .map(({ text }) => text)
      .join(''),
  }));
  return {
    text: of('text'),
    reasoning: of('reasoning'),
    calls,
    usage,
    finish: finish === 'tool_calls' ? 'tool-calls' : finish,
    fault: undefined,
  };
}

it('a stream › gives the same events in every style, with any noise, in any pieces', () => {
  fc.assert(
    fc.property(answers, styles, noises, cuts, (answer, style, between, cutAt) => {
      expect(hear(bytesOf(answer, style, between), cutAt, 'clean')).toEqual(meant(answer));
    }),
    { numRuns: 2000 },
  );
});

it('a stream › fails where it was cut, and keeps the events before', () => {
  fc.assert(
    fc.property(
      answers,
      styles,
      noises,
      cuts,
      fc.nat(),
      fc.constantFrom('clean' as const, 'broken' as const),
      (answer, style, between, cutAt, at, end) => {
        const bytes = bytesOf(answer, style, between);
        const heard = hear(bytes.subarray(0, at % bytes.length), cutAt, end);
        const whole = meant(answer);
        expect(whole.text.startsWith(heard.text)).toBe(true);
        expect(whole.reasoning.startsWith(heard.reasoning)).toBe(true);
        for (const [i, { args }] of heard.calls.entries()) expect(whole.calls[i]?.args.startsWith(args)).toBe(true);
        // Behind the finish reason only usage can be lost.
        if (heard.fault === undefined) expect(heard).toEqual({ ...whole, usage: heard.usage });
        else expect(heard.finish).toBeUndefined();
      },
    ),
    { numRuns: 2000 },
  );
});

it('a stream › is read in the plain style', () => {
  const answer: Answer = { said: [{ kind: 'text', text: 'hi', call: 0 }], finish: 'stop', usage: undefined };
  expect(bytesOf(answer, PLAIN, ['']).toString()).toBe(
    'data: {"id":"c-1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\ndata: {"id":"c-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
  );
});
