// The chunks of the AI SDK wire, joined by the client's own reader: from any place of any story, a page has the answer.
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Projection } from '../../../src/stream/projection.ts';
import { aiSdkWire } from '../../../src/wires/ai-sdk/chunks.ts';
import { timeLimit } from '../../support/slowness.ts';
import { legSteps, RunStory, steps, type Step } from '../../stream/run-story.ts';

function chunksOf(text: string): UIMessageChunk[] {
  const lines = text.split('\n\n').filter((line) => line !== '');
  const events = lines.map((line) => line.replace(/^data: /, ''));
  return events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event) as UIMessageChunk);
}

async function messageOf(chunks: readonly UIMessageChunk[]): Promise<UIMessage | undefined> {
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let message: UIMessage | undefined;
  const onError = (error: unknown): never => {
    throw error;
  };
  for await (const one of readUIMessageStream({ stream, onError, terminateOnError: true })) message = one;
  return message;
}

/** The parts that a page shows, without the bounds of steps. */
function shown(message: UIMessage | undefined): unknown[] {
  return (message?.parts ?? []).flatMap((part) => {
    if (part.type === 'text' || part.type === 'reasoning') return [[part.type, part.text]];
    return part.type === 'dynamic-tool' ? [[part.toolCallId, part.input, part.output]] : [];
  });
}

function said({ parts }: RunStory): unknown[] {
  return parts.map(({ kind, text, toolCallId, result }) => {
    if (kind !== 'tool-call') return [kind, text];
    return [toolCallId, text.trim() === '' ? {} : text, result === undefined ? undefined : { text: result }];
  });
}

/** What a page is sent that comes behind the first `cut` events. */
function sent(story: RunStory, cut: number): { readonly chunks: UIMessageChunk[]; readonly over: Projection['over'] } {
  const page = aiSdkWire.project({ runId: 'r', after: undefined }, { hasData: false, hasMetadata: false });
  page.fold(story.events.slice(0, cut));
  let text = page.open();
  for (const event of story.events.slice(cut)) if (page.over === undefined) text += page.next([event]);
  return { chunks: chunksOf(text), over: page.over };
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  return story;
}

function cutsOf({ events }: RunStory): ReadonlySet<number> {
  const last = events.length;
  return new Set([0, 2, Math.floor(last / 2), last - 1, last]);
}

/** Types of chunks that begin or end a step where they may not, or that come outside of one. */
function misplaced(chunks: readonly UIMessageChunk[]): string[] {
  let isOpen = false;
  const wrong: string[] = [];
  for (const { type } of chunks) {
    const mayCome = type === 'start-step' ? !isOpen : isOpen || !IN_A_STEP.test(type);
    if (!mayCome) wrong.push(type);
    if (type === 'start-step' || type === 'finish-step') isOpen = type === 'start-step';
  }
  return isOpen ? [...wrong, 'no finish-step'] : wrong;
}

const IN_A_STEP = /^(finish-step|text-|reasoning-|tool-input-)/;

it('a page is sent each part in a step, and each step begins and ends once', () => {
  fc.assert(
    fc.property(legSteps, (all) => {
      const story = play(all);
      for (const cut of cutsOf(story)) {
        const { chunks, over } = sent(story, cut);
        if (over === 'end') expect([cut, misplaced(chunks)]).toEqual([cut, []]);
      }
    }),
    { numRuns: 100 },
  );
});

it('a page is sent no step of a run that was stopped before it began', () => {
  const story = new RunStory();
  const page = aiSdkWire.project({ runId: 'r', after: undefined }, { hasData: false, hasMetadata: false });
  const endedAt = '2026-01-01T00:00:03.000Z';
  const stopped = { type: 'run.cancelled', runId: 'r', by: 'alice', endedAt } as const;
  page.fold(story.events.slice(0, 1));
  const chunks = chunksOf(page.open() + page.next([{ offset: 1, event: stopped }]));
  expect([misplaced(chunks), chunks.map(({ type }) => type)]).toEqual([[], ['abort']]);
});

it(
  'a page has the answer when it comes at any place of a run, or its connection breaks',
  { timeout: timeLimit(30_000) },
  async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const story = play(all);
        for (const cut of cutsOf(story)) {
          const { chunks, over } = sent(story, cut);
          const message = await messageOf(chunks);
          if (over === 'end') expect([cut, shown(message)]).toEqual([cut, said(story)]);
          else expect([over, cut < story.events.length]).toEqual(['break', true]);
        }
      }),
      { numRuns: 40 },
    );
  },
);
