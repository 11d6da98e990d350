// The chunks of a completion: readers that come at any place of a run get the same answer, or an error where a takeover
// takes text back that they were sent.
import fc from 'fast-check';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { describe, expect, it } from 'vitest';
import { completionWire } from '../../../src/wires/openai/completions/completion-stream.ts';
import { RunStory, steps, type Step } from '../../stream/run-story.ts';

interface Joined {
  texts: Record<string, string>;
  finish: string | null;
  error: string | undefined;
}

function joined(story: RunStory, caughtUp: number): Joined {
  const request = { sessionId: 's', includesUsage: false };
  const projection = completionWire.project({ runId: 'r', after: undefined }, request);
  projection.fold(story.events.slice(0, caughtUp));
  let text = projection.open();
  for (const event of story.events.slice(caughtUp)) if (projection.over === undefined) text += projection.next([event]);
  expect([projection.over, text.endsWith('data: [DONE]\n\n')]).toEqual(['end', true]);
  const answer: Joined = { texts: {}, finish: null, error: undefined };
  for (const frame of text.split('\n\n').slice(0, -2)) take(answer, JSON.parse(frame.slice('data: '.length)) as Chunk);
  return answer;
}

type Chunk = ChatCompletionChunk & { error?: { code: string } };

function take(answer: Joined, { choices, error }: Chunk): void {
  if (error !== undefined) {
    answer.error = error.code;
    return;
  }
  const [choice] = choices;
  const delta = choice?.delta as ChatCompletionChunk.Choice.Delta & { reasoning_content?: string };
  const add = (name: string, text = ''): void => {
    if (text !== '') answer.texts[name] = (answer.texts[name] ?? '') + text;
  };
  add('text', delta.content ?? '');
  add('reasoning', delta.reasoning_content);
  for (const call of delta.tool_calls ?? []) add(`call ${call.index}`, call.function?.arguments);
  answer.finish = choice?.finish_reason ?? answer.finish;
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  return story;
}

function textsOf({ parts }: RunStory): Record<string, string> {
  const texts: Record<string, string> = {};
  const calls = parts.filter(({ kind }) => kind === 'tool-call');
  for (const part of parts) {
    const name = part.kind === 'tool-call' ? `call ${calls.indexOf(part)}` : part.kind;
    if (part.text !== '') texts[name] = (texts[name] ?? '') + part.text;
  }
  return texts;
}

describe('the chunks of a completion', () => {
  it('give the answer to readers that come at any place', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (all, at) => {
        const story = play(all);
        const { texts, finish, error } = joined(story, at % (story.events.length + 1));
        if (error !== undefined) expect([error, all.some((one) => one.do === 'restart')]).toEqual(['restarted', true]);
        else {
          expect(texts).toEqual(textsOf(story));
          expect(finish).toBe(story.parts.some(({ kind }) => kind === 'tool-call') ? 'tool_calls' : 'stop');
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are whole for a reader that comes behind the end, whatever was restarted', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const story = play(all);
        expect(joined(story, story.events.length)).toMatchObject({ texts: textsOf(story), error: undefined });
      }),
      { numRuns: 100 },
    );
  });
});
