// The stream of an AG-UI run: with any takeovers and at any place at which a client comes, the stock client, which
// verifies the order of the events, has the answer.
import { HttpAgent, type Message } from '@ag-ui/client';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent, Projection } from '../../../src/stream/projection.ts';
import { agUiWire, CONVERSATION_CHARS_MAX, FRAME_CHARS_MAX } from '../../../src/wires/ag-ui/ag-ui-wire.ts';
import { parseRunInput } from '../../../src/wires/ag-ui/run-input.ts';
import { RUN, RunStory, steps, type Step } from '../../stream/run-story.ts';
import { answerOf, user } from './ag-ui-rig.ts';

const PROMPT = user('prompt');

interface Told {
  readonly frames: string;
  readonly over: Projection['over'];
}

/** The stream of a client that comes behind `cut` events and goes away behind `end`. */
function streamFrom(events: readonly ParsedEvent[], cut: number, held: readonly Message[] = [], end = Infinity): Told {
  const seed = { runId: RUN.runId, after: undefined };
  const conversation = JSON.stringify(PROMPT);
  const heldReasoning = held.flatMap(({ id, role }) => (role === 'reasoning' ? [id] : []));
  const request = { threadId: 't', runId: 'mine', conversation, holdsMore: held.length > 0, heldReasoning };
  const projection = agUiWire.project(seed, request);
  projection.fold(events.slice(0, cut));
  let frames = projection.open();
  for (const event of events.slice(cut, end)) if (projection.over === undefined) frames += projection.next([event]);
  return { frames, over: projection.over };
}

/** The messages that the stock client has at the end of the frames. It fails where their order is wrong. */
async function read(frames: string, held: readonly Message[] = []): Promise<HttpAgent> {
  const headers = { 'content-type': 'text/event-stream' };
  const agent = new HttpAgent({
    url: 'http://ag-ui',
    threadId: 't',
    initialMessages: [PROMPT, ...held],
    fetch: async () => new Response(frames, { headers }),
  });
  await agent.runAgent({ runId: 'mine' });
  return agent;
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  return story;
}

const FROM_NOTHING: Step = { do: 'restart', keep: 0, again: 0, size: 1 };

interface Answer {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly unknown[];
  readonly results: readonly unknown[];
}

/** What of the answer the client has. */
function heldOf(agent: Pick<HttpAgent, 'messages'>): Answer {
  const messages = answerOf(agent) as Message[];
  const joined = (wanted: string): string =>
    messages.map(({ role, content }) => (role === wanted && typeof content === 'string' ? content : '')).join('');
  return {
    text: joined('assistant'),
    reasoning: joined('reasoning'),
    calls: messages.flatMap((message) =>
      message.role === 'assistant' ? (message.toolCalls ?? []).map((call) => [call.id, call.function.arguments]) : [],
    ),
    results: messages
      .flatMap((message) =>
        message.role === 'tool' ? [`${message.toolCallId} ${JSON.stringify(message.content)}`] : [],
      )
      .sort(),
  };
}

function saidOf({ parts }: RunStory): Answer {
  const joined = (wanted: string): string => parts.map(({ kind, text }) => (kind === wanted ? text : '')).join('');
  return {
    text: joined('text'),
    reasoning: joined('reasoning'),
    calls: parts.flatMap(({ kind, toolCallId, text }) => (kind === 'tool-call' ? [[toolCallId, text]] : [])),
    results: parts
      .flatMap(({ toolCallId, result }) =>
        result === undefined ? [] : [`${toolCallId} ${JSON.stringify(JSON.stringify({ text: result }))}`],
      )
      .sort(),
  };
}

describe('the stream of an AG-UI run', () => {
  it('gives each client the answer when clients come at any place', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const story = play(all);
        for (let cut = 1; cut <= story.events.length; cut += 1) {
          const { frames, over } = streamFrom(story.events, cut);
          expect([cut, over, heldOf(await read(frames))]).toEqual([cut, 'end', saidOf(story)]);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('gives a client that comes back with a part of the answer the whole of it once', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(), async (all, place) => {
        const story = play(all);
        const cut = 1 + (place % story.events.length);
        const { frames: first } = streamFrom(story.events, 1, [], cut);
        const open = await read(first);
        const held = answerOf(open) as Message[];
        const { frames } = streamFrom(story.events, cut, held);
        const fresh = await read(streamFrom(story.events, story.events.length).frames);
        const back = await read(frames, held);
        expect(heldOf(back)).toEqual(heldOf(fresh));
      }),
      { numRuns: 40 },
    );
  });

  it.each<[string, Step[]]>([
    ['reasoning', [{ do: 'reasoning', text: 'ab' }, FROM_NOTHING, { do: 'text', text: 'c' }]],
    ['text', [{ do: 'text', text: 'ab' }, FROM_NOTHING, { do: 'text', text: 'c' }]],
    ['text with reasoning in its place', [{ do: 'text', text: 'ab' }, FROM_NOTHING, { do: 'reasoning', text: 'c' }]],
    [
      'a result',
      [
        { do: 'call' },
        { do: 'arguments', which: 0, text: 'ab' },
        { do: 'result', which: 0, text: 'c' },
        { do: 'restart', keep: 50, again: 0, size: 1 },
        { do: 'arguments', which: 0, text: 'd' },
      ],
    ],
  ])('takes back %s that a restart has dropped', async (_, all) => {
    const story = play(all);
    expect(heldOf(await read(streamFrom(story.events, 1).frames))).toEqual(saidOf(story));
  });

  it('sends no frame for text that a takeover says again as it was', () => {
    const story = new RunStory();
    story.say('text', 'one two');
    const [before, after] = [story.events.length, story.events.length + 3];
    story.dropFrom(0, 4);
    for (const text of ['tw', 'o']) story.say('text', text);
    expect(streamFrom(story.events, 1, [], after).frames).toBe(streamFrom(story.events, 1, [], before).frames);
  });

  it('breaks when a takeover says something else and the conversation is too long for a snapshot', () => {
    const story = new RunStory();
    story.say('text', 'one two');
    story.dropFrom(0, 4);
    story.say('text', 'three');
    const seed = { runId: RUN.runId, after: undefined };
    const conversation = JSON.stringify(user('prompt', 'x'.repeat(CONVERSATION_CHARS_MAX)));
    const request = { threadId: 't', runId: 'mine', conversation, holdsMore: false, heldReasoning: [] };
    const projection = agUiWire.project(seed, request);
    projection.open();
    projection.next(story.events);
    expect(projection.over).toBe('break');
  });

  it('tells calls with the same id apart', async () => {
    const story = new RunStory();
    for (const text of ['first', 'second']) {
      story.call('call_0');
      story.play({ do: 'arguments', which: text === 'first' ? 0 : 1, text });
    }
    story.end();
    expect(heldOf(await read(streamFrom(story.events, 1).frames)).calls).toEqual([
      ['call_0', 'first'],
      ['call_0.1', 'second'],
    ]);
  });

  it('sends frames that the client takes when the text is long', async () => {
    const story = new RunStory();
    const text = '\u0001🌍'.repeat(FRAME_CHARS_MAX);
    story.say('text', text);
    story.end();
    const { frames } = streamFrom(story.events, story.events.length);
    expect(Math.max(...frames.split('\n\n').map(({ length }) => length))).toBeLessThan(10 * 1024 * 1024);
    expect(heldOf(await read(frames)).text === text).toBe(true);
  });

  it('says the place in the queue only while the run waits', () => {
    const story = new RunStory();
    const request = { threadId: 't', runId: 'mine', conversation: '', holdsMore: false, heldReasoning: [] };
    const projection = agUiWire.project({ runId: RUN.runId, after: undefined }, request);
    projection.fold(story.events.slice(0, 1));
    projection.open();
    const place = { type: 'queue', runId: RUN.runId, ahead: 2 } as const;
    expect(projection.control(place)).toContain('"name":"holdline.queue","value":{"ahead":2}');
    projection.next(story.events.slice(1));
    expect(projection.control(place)).toBe('');
  });
});

describe('the conversation of a request', () => {
  const half = 'x'.repeat(CONVERSATION_CHARS_MAX / 2);
  const messages = (text: string): unknown[] => [
    { id: 'a', role: 'user', content: text },
    { id: 'b', role: 'assistant', content: text },
    { id: 'c', role: 'user', content: 'prompt' },
  ];
  const conversationOf = (given: readonly unknown[]): string | undefined =>
    parseRunInput({ threadId: 't', runId: 'r', messages: given }).conversation;

  it('is kept up to the bound of a snapshot', () => {
    const short = messages(half.slice(200));
    expect(conversationOf(short)).toBe(JSON.stringify(short).slice(1, -1));
    expect(conversationOf(messages(half))).toBe(undefined);
  });

  it('is kept whole where the stream begins with it: the client holds messages behind the prompt', () => {
    const long = messages(half);
    const behind = { id: 'd', role: 'assistant', content: 'held' };
    expect(conversationOf([...long, behind])).toBe(JSON.stringify(long).slice(1, -1));
  });
});
