// The LangGraph wire as a projection: wherever its frames are cut, the frames before the cut and those of a resume
// behind it are the answer.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Projection } from '../../../src/stream/projection.ts';
import { parseEventId } from '../../../src/wires/langgraph/event-id.ts';
import { langGraphWire } from '../../../src/wires/langgraph/langgraph.ts';
import type { StreamMode } from '../../../src/wires/langgraph/run-request.ts';
import { RunStory, steps, type Step } from '../../stream/run-story.ts';

interface Frame {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: unknown;
}

function framesOf(text: string): Frame[] {
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => {
      const fields = new Map(frame.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      return {
        id: fields.get('id'),
        event: fields.get('event') ?? '',
        data: JSON.parse(fields.get('data') ?? '') as unknown,
      };
    });
}

function projection(id?: string, modes: readonly StreamMode[] = ['messages-tuple', 'values'], leg = 0): Projection {
  const given = id === undefined ? undefined : parseEventId(id);
  if (id !== undefined && given === undefined) throw new Error(`not an event id: ${id}`);
  const before = [{ type: 'human', id: 'p', content: 'x' }];
  const wire = langGraphWire({ threadId: 't', epoch: 'e', leg, modes, before, base: given?.base });
  return wire.project({ runId: 'r', after: given?.position.offset });
}

/** What the SDK joins: chunks of a message by their id, calls by their index. */
class Joined {
  content = '';
  reasoning = '';
  readonly calls: string[] = [];
  readonly results = new Map<string, string>();
  isRestarted = false;
  isEnded = false;

  take({ event, data }: Frame): void {
    if (event === 'end') this.isEnded = true;
    if (event === 'error') this.isRestarted = true;
    if (event !== 'messages') return;
    const [message] = data as [
      {
        readonly type: string;
        readonly content: string;
        readonly tool_call_id: string;
        readonly additional_kwargs: { readonly reasoning_content?: string };
        readonly tool_call_chunks: readonly { readonly index: number; readonly args: string }[];
      },
    ];
    if (message.type === 'tool') {
      this.results.set(message.tool_call_id, message.content);
      return;
    }
    this.content += message.content;
    this.reasoning += message.additional_kwargs.reasoning_content ?? '';
    for (const { index, args } of message.tool_call_chunks) this.calls[index] = (this.calls[index] ?? '') + args;
  }
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  return story;
}

function expected({ parts }: RunStory): Pick<Joined, 'content' | 'reasoning' | 'calls'> & { results: unknown } {
  const textOf = (kind: string): string => parts.map((part) => (part.kind === kind ? part.text : '')).join('');
  return {
    content: textOf('text'),
    reasoning: textOf('reasoning'),
    calls: parts.flatMap(({ kind, text }) => (kind === 'tool-call' ? [text] : [])),
    results: parts.flatMap(({ result, toolCallId = '' }) =>
      result === undefined ? [] : [[toolCallId, JSON.stringify({ text: result })]],
    ),
  };
}

/** A reader comes between a result and its text, is cut there, and a restart takes the result back. Few random stories
 *  have all of that. */
const RESULT_TAKEN_BACK: Step[] = [
  { do: 'text', text: 'b' },
  { do: 'call' },
  { do: 'result', which: 0, text: 'a' },
  { do: 'text', text: 'c' },
  { do: 'restart', keep: 0, again: 0, size: 1 },
];
const RESULT_TAKEN_BACK_FROM = 5;

/** A reader that comes behind `from` events, whose connection breaks behind `cut` frames, and that comes back. */
function readWithCut(story: RunStory, from: number, cut: number): Joined | undefined {
  const first = projection();
  first.fold(story.events.slice(0, from));
  let text = first.open();
  for (const event of story.events.slice(from)) if (first.over === undefined) text += first.next([event]);
  const frames = framesOf(text).slice(0, cut);
  if (frames.length < cut) return undefined;
  const joined = new Joined();
  for (const frame of frames) joined.take(frame);
  if (joined.isRestarted || joined.isEnded) return joined;
  const id = frames.findLast((frame) => frame.id !== undefined)?.id;
  const again = projection(id);
  again.fold(story.events);
  for (const frame of framesOf(again.open())) joined.take(frame);
  const isOver = [joined].some((one) => one.isEnded || one.isRestarted);
  expect([again.over, isOver]).toEqual(['end', true]);
  return joined;
}

describe('LangGraph wire', () => {
  it('is the answer in the frames before any cut and those of the resume behind it', () => {
    fc.assert(
      fc.property(steps, fc.nat(20), (all, place) => {
        const story = play(all);
        const from = place % (story.events.length + 1);
        for (let cut = 0; ; cut += 1) {
          const joined = readWithCut(story, from, cut);
          if (joined === undefined) return;
          if (joined.isRestarted) continue;
          const { content, reasoning, calls, results } = joined;
          expect([cut, { content, reasoning, calls, results: [...results].toSorted() }]).toEqual([
            cut,
            { ...expected(story), results: (expected(story).results as string[][]).toSorted() },
          ]);
        }
      }),
      { numRuns: 100, examples: [[RESULT_TAKEN_BACK, RESULT_TAKEN_BACK_FROM]] },
    );
  });

  it('has the results of a leg wherever the frames of its reader are cut, also before the text of the leg', () => {
    const story = new RunStory();
    story.say('text', 'b');
    for (const id of ['c1', 'c2', 'c3']) story.call(id);
    for (const id of story.ask({ inputs: 2, asksTools: true })) story.settle(id);
    story.resume();
    // The call of an earlier leg that this leg executes.
    story.result(story.parts[3] ?? { kind: 'tool-call', text: '' }, 'a');
    const came = story.events.length;
    story.say('text', 'two');
    story.end();
    for (const from of [came, came + 2])
      for (let cut = 1; cut < 7; cut += 1) {
        const first = projection(undefined, undefined, 1);
        first.fold(story.events.slice(0, from));
        const frames = framesOf(first.open()).slice(0, cut);
        const joined = new Joined();
        for (const frame of frames) joined.take(frame);
        const again = projection(frames.findLast(({ id }) => id !== undefined)?.id, undefined, 1);
        again.fold(story.events);
        for (const frame of framesOf(again.open())) joined.take(frame);
        expect([from, cut, joined.content, [...joined.results.keys()].toSorted()]).toEqual([
          ...[from, cut, 'two'],
          ['c1', 'c2', 'c3'],
        ]);
      }
  });

  it('ends with an error only when text that the reader was sent is taken back', () => {
    const story = new RunStory();
    story.say('text', 'one two');
    story.dropFrom(0, 4);
    story.say('text', 'two three');
    const same = projection();
    same.open();
    expect(framesOf(same.next(story.events)).map(({ event }) => event)).toEqual([
      ...['metadata', 'values', 'messages', 'messages'],
    ]);
    story.dropFrom(0, 4);
    story.say('text', 'else');
    const live = projection();
    live.open();
    const told = framesOf(live.next(story.events));
    expect([told.at(-1)?.event, told.at(-1)?.data, live.over]).toEqual([
      'error',
      expect.objectContaining({ error: 'restarted' }),
      'end',
    ]);
    // One that comes later, and one that asked for the state only, have nothing to take back.
    const late = projection();
    late.fold(story.events);
    expect(framesOf(late.open()).at(-1)?.data).toMatchObject([{ content: 'one else' }, {}]);
    const values = projection(undefined, ['values']);
    values.open();
    values.next(story.events);
    story.end();
    const end = framesOf(values.next(story.events.slice(-1)));
    expect(end.map(({ event }) => event)).toEqual(['values', 'end']);
    expect(end[0]?.data).toMatchObject({ messages: [{ id: 'p' }, { type: 'ai', id: 'answer', content: 'one else' }] });
  });

  it('breaks when records are lost, when the chat ends, and when the node drains', () => {
    for (const type of ['reset', 'reconnect', 'expired'] as const) {
      const open = projection();
      open.open();
      expect(open.control({ type } as never)).toBe('');
      expect(open.over).toBe('break');
    }
    const open = projection();
    open.open();
    open.next([{ offset: 9, event: { type: 'lost', from: 3, to: 9 } }]);
    expect(open.over).toBe('break');
  });
});
