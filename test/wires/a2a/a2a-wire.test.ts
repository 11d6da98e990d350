// The stream of a task: with any takeovers and at any place at which a client comes, the stock client has the answer.
import { AgentCard } from '@a2a-js/sdk';
import type { Transport } from '@a2a-js/sdk/client';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent, Projection } from '../../../src/stream/projection.ts';
import { a2aWire, FRAME_CHARS_MAX } from '../../../src/wires/a2a/a2a-wire.ts';
import { RUN, RunStory, steps, type Step } from '../../stream/run-story.ts';
import { follow, jsonRpc, type Held } from './a2a-rig.ts';

/** Frames that the SDK takes: it gives up at events of 4 Mi characters. */
const SDK_EVENT_CHARS_MAX = 4 * 1024 * 1024;

interface Told {
  readonly frames: string;
  readonly over: Projection['over'];
  /** The event with which the stream was over. */
  readonly at: number;
}

/** The stream of a client that subscribes behind `cut` events. */
function streamFrom(events: readonly ParsedEvent[], cut: number): Told {
  const seed = { runId: RUN.runId, after: undefined };
  const projection = a2aWire.project(seed, { sessionId: 's', rpcId: 1, history: undefined });
  projection.fold(events.slice(0, cut));
  let frames = projection.open();
  let at = cut;
  for (; at < events.length && projection.over === undefined; at += 1)
    frames += projection.next(events.slice(at, at + 1));
  return { frames, over: projection.over, at };
}

/** What the stock client holds at the end. A client whose stream breaks subscribes again. */
async function clientFrom(events: readonly ParsedEvent[], cut: number): Promise<{ held: Held; breaks: number }> {
  let told = streamFrom(events, cut);
  let breaks = 0;
  for (; told.over === 'break'; breaks += 1) told = streamFrom(events, told.at);
  return { held: await read(told.frames), breaks };
}

async function read(frames: string): Promise<Held> {
  const client = await transport(frames);
  return follow(client.resubscribeTask({ tenant: '', id: 's.r' }));
}

async function transport(frames: string): Promise<Transport> {
  const headers = { 'content-type': 'text/event-stream' };
  const factory = jsonRpc(async () => new Response(frames, { headers }));
  return factory.create('http://a2a', AgentCard.fromJSON({}));
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  return story;
}

function textsOf({ parts }: RunStory): unknown {
  return Object.fromEntries(
    parts.flatMap(({ kind, text }, part) => (kind === 'text' && text !== '' ? [[`a${part}`, text]] : [])),
  );
}

describe('the stream of a task', () => {
  it('gives each client the answer when clients come at any place', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const story = play(all);
        for (let cut = 1; cut <= story.events.length; cut += 1) {
          const { held } = await clientFrom(story.events, cut);
          expect([cut, held.states.at(-1), held.texts]).toEqual([cut, 'COMPLETED', textsOf(story)]);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('sends no frame for text that a takeover says again as it was', async () => {
    const story = new RunStory();
    story.say('text', 'one two three');
    story.dropFrom(0, 4);
    for (const text of ['two ', 'three']) story.say('text', text);
    story.end();
    const { held } = await clientFrom(story.events, 1);
    expect([held.frames, held.texts]).toEqual([4, { a0: 'one two three' }]);
  });

  it('replaces the text of an artifact when a takeover says something else', async () => {
    const story = new RunStory();
    story.say('text', 'one two three');
    story.dropFrom(0, 4);
    for (const text of ['two', ' four']) story.say('text', text);
    story.end();
    const { held, breaks } = await clientFrom(story.events, 1);
    expect([held.texts, breaks]).toEqual([{ a0: 'one two four' }, 0]);
  });

  it('breaks when a takeover drops text of two artifacts', async () => {
    const story = new RunStory();
    story.say('text', 'one');
    story.call('c1');
    story.say('text', 'two');
    story.dropFrom(0, 2);
    story.say('text', 'ce');
    story.end();
    const { held, breaks } = await clientFrom(story.events, 1);
    expect([held.texts, breaks]).toEqual([{ a0: 'once' }, 1]);
  });

  it('breaks where records are lost', () => {
    const story = play([{ do: 'text', text: 'a' }]);
    const lost: ParsedEvent = { offset: 3, event: { type: 'lost', from: 3, to: 3 } };
    const { over } = streamFrom([...story.events.slice(0, 3), lost, ...story.events.slice(3)], 1);
    expect(over).toBe('break');
  });

  it.each([0, 3])(
    'sends frames that the client takes when the text is long and the client comes behind %i events',
    async (early) => {
      const story = new RunStory();
      const text = '\u0001🌍'.repeat(FRAME_CHARS_MAX);
      story.say('text', text);
      story.call('c1');
      story.say('text', 'and more');
      story.end();
      const { frames } = streamFrom(story.events, early === 0 ? story.events.length : early);
      expect(Math.max(...frames.split('\n\n').map(({ length }) => length))).toBeLessThan(SDK_EVENT_CHARS_MAX);
      const held = await read(frames);
      expect(held.artifacts.get('a0') === text).toBe(true);
      expect([held.artifacts.get('a2'), held.states.at(-1)]).toEqual(['and more', 'COMPLETED']);
    },
  );

  it('says the place in the queue only while the run waits', () => {
    const story = new RunStory();
    const seed = { runId: RUN.runId, after: undefined };
    const projection = a2aWire.project(seed, { sessionId: 's', rpcId: undefined, history: undefined });
    projection.fold(story.events.slice(0, 1));
    projection.open();
    const place = { type: 'queue', runId: RUN.runId, ahead: 3 } as const;
    expect(projection.control(place)).toContain('"ahead":3');
    expect(projection.control({ ...place, runId: 'another' })).toBe('');
    projection.next(story.events.slice(1));
    expect(projection.control(place)).toBe('');
  });
});
