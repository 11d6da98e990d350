// The chunks of the AI SDK wire, joined by the client's own reader: from any place of any story, a page has the answer.
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { aiSdkWire } from '../../../src/wires/ai-sdk/chunks.ts';
import { timeLimit } from '../../support/slowness.ts';
import { RunStory, steps } from '../../stream/run-story.ts';

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

it(
  'a page has the answer when it comes at any place of a run, or its connection breaks',
  { timeout: timeLimit(30_000) },
  async () => {
    const seed = { runId: 'r', after: undefined };
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const story = new RunStory();
        for (const one of all) story.play(one);
        story.end();
        const last = story.events.length;
        for (const cut of new Set([0, 2, Math.floor(last / 2), last - 1, last])) {
          const page = aiSdkWire.project(seed, { hasData: false, hasMetadata: false });
          page.fold(story.events.slice(0, cut));
          let text = page.open();
          for (const event of story.events.slice(cut)) if (page.over === undefined) text += page.next([event]);
          const message = await messageOf(chunksOf(text));
          if (page.over === 'end') expect([cut, shown(message)]).toEqual([cut, said(story)]);
          else expect([page.over, cut < last]).toEqual(['break', true]);
        }
      }),
      { numRuns: 40 },
    );
  },
);
