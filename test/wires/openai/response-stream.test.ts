// The frames of a Response: numbers that do not depend on the reading, and for every cut the beginning and the rest
// together are the whole stream. Joined with the accumulator of the stock client.
import fc from 'fast-check';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { accumulateResponse } from 'openai/lib/responses/ResponseAccumulator';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent } from '../../../src/stream/projection.ts';
import { heldRecords, responseWire } from '../../../src/wires/openai/responses/response-stream.ts';
import { RunStory, steps, type Step } from '../../stream/run-story.ts';

const SESSION = 's';

function play(all: readonly Step[], end?: 'run.completed' | 'run.failed'): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  if (end !== undefined) story.end(end);
  return story;
}

/** The frames that a reader is sent. `caughtUp`: events before the reader is live. */
function frames(
  events: readonly ParsedEvent[],
  { startingAfter, caughtUp = 0 }: { startingAfter?: number; caughtUp?: number } = {},
): ResponseStreamEvent[] {
  const projection = responseWire.project({ runId: 'r', after: undefined }, { sessionId: SESSION, startingAfter });
  projection.fold(events.slice(0, caughtUp));
  let text = projection.open();
  for (const event of events.slice(caughtUp)) if (projection.over === undefined) text += projection.next([event]);
  expect(projection.over).not.toBe('break');
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => JSON.parse(frame.slice(frame.indexOf('\ndata: ') + 7)) as ResponseStreamEvent);
}

/** Merges adjacent deltas of one part where `isMerged` says so, but not across the offset `cut`. */
function merge(events: readonly ParsedEvent[], isMerged: (at: number) => boolean, cut = -1): ParsedEvent[] {
  const merged: ParsedEvent[] = [];
  for (const one of events) {
    const last = merged.at(-1);
    const [before, event] = [last?.event, one.event];
    if (before?.type !== 'delta' || event.type !== 'delta' || before.part !== event.part || last?.offset === cut)
      merged.push(one);
    else if (!isMerged(one.offset)) merged.push(one);
    else
      merged[merged.length - 1] = {
        offset: one.offset,
        event: { ...event, at: before.at, text: before.text + event.text },
      };
  }
  return merged;
}

function accumulate(all: readonly ResponseStreamEvent[]): Response | undefined {
  let snapshot: Response | undefined;
  for (const event of all) snapshot = accumulateResponse(event, snapshot);
  return snapshot;
}

/** The text of the deltas of each item, by its id. */
function textsOf(all: readonly ResponseStreamEvent[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const event of all)
    if ('item_id' in event && 'delta' in event && typeof event.delta === 'string')
      texts.set(event.item_id, (texts.get(event.item_id) ?? '') + event.delta);
  return texts;
}

const contentOf = ({ output }: Response): unknown =>
  output.map((item) => {
    if (item.type === 'message')
      return item.content.map((part) => (part.type === 'output_text' ? part.text : '')).join('');
    if (item.type === 'reasoning') return item.content?.map(({ text }) => text).join('');
    return item.type === 'function_call' ? item.arguments : item.type;
  });

const ends = fc.constantFrom('run.completed' as const, 'run.failed' as const);

/** Behind a restart, arguments of an earlier call between the text that differs and the restart share their number. */
const withoutLateArguments = steps.filter(
  (all) => all.every((step) => step.do !== 'restart') || all.every((step) => step.do !== 'arguments'),
);

describe('the frames of a Response', () => {
  it('give the answer to the accumulator of the client, with items that join', () => {
    fc.assert(
      fc.property(steps, ends, (all, end) => {
        const story = play(all, end);
        const told = frames(story.events);
        const final = accumulate(told);
        expect(final?.status).toBe(end === 'run.completed' ? 'completed' : 'failed');
        expect(final && contentOf(final)).toEqual(story.parts.map(({ text }) => text));
        const texts = textsOf(told);
        for (const [i, item] of (final?.output ?? []).entries())
          expect(texts.get(String(item.id)) ?? '').toBe(story.parts[i]?.text);
      }),
      { numRuns: 100 },
    );
  });

  it('have numbers that rise', () => {
    fc.assert(
      fc.property(steps, ends, (all, end) => {
        const numbers = frames(play(all, end).events).map(({ sequence_number }) => sequence_number);
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        // Only a takeover that says something else repeats a number.
        if (all.every((step) => step.do !== 'restart')) expect(new Set(numbers).size).toBe(numbers.length);
      }),
      { numRuns: 100 },
    );
  });

  it('are the whole stream together with the rest, for every cut', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (all, at) => {
        const { events } = play(all, 'run.completed');
        const whole = frames(events);
        const startingAfter = whole[at % whole.length]?.sequence_number ?? 0;
        const cut = whole.findLastIndex(({ sequence_number }) => sequence_number === startingAfter);
        const rest = frames(events, { startingAfter, caughtUp: at % events.length });
        expect([...whole.slice(0, cut + 1), ...rest]).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  it('join with the rest also where the readings were merged differently', () => {
    fc.assert(
      fc.property(
        withoutLateArguments,
        fc.nat(),
        fc.func(fc.boolean()),
        fc.func(fc.boolean()),
        (all, at, one, other) => {
          const { events } = play(all, 'run.completed');
          const whole = frames(merge(events, one));
          const startingAfter = whole[at % whole.length]?.sequence_number ?? 0;
          const cut = whole.findLastIndex(({ sequence_number }) => sequence_number === startingAfter);
          const rest = frames(merge(events, other, heldRecords(startingAfter)), { startingAfter });
          const joined = [...whole.slice(0, cut + 1), ...rest];
          expect(textsOf(joined)).toEqual(textsOf(whole));
          expect(accumulate(joined)).toEqual(accumulate(whole));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('open the first text with numbers that do not depend on how its deltas were merged', () => {
    const { events } = play(
      ['a', 'b', 'c'].map((text) => ({ do: 'text', text })),
      'run.completed',
    );
    const whole = frames(merge(events, () => true));
    for (const [place, { sequence_number: startingAfter }] of whole.entries()) {
      const joined = [...whole.slice(0, place + 1), ...frames(events, { startingAfter })];
      expect([place, accumulate(joined)]).toEqual([place, accumulate(whole)]);
      expect([place, textsOf(joined)]).toEqual([place, textsOf(whole)]);
    }
  });

  it('have every frame of a takeover that says something else, wherever the readings merge and the cut is', () => {
    const story = play([]);
    story.say('text', 'one two');
    story.dropFrom(0, 3);
    for (const text of [' ', 't', 'hr', 'ee']) story.say('text', text);
    story.say('text', '.');
    story.end();
    const { events } = story;
    for (const isMerged of [() => true, () => false, (at: number) => at % 2 === 0]) {
      const whole = frames(merge(events, isMerged));
      for (const [place, { sequence_number: startingAfter }] of whole.entries()) {
        for (const isOther of [() => true, () => false]) {
          const rest = frames(merge(events, isOther, heldRecords(startingAfter)), { startingAfter });
          const joined = [...whole.slice(0, place + 1), ...rest];
          expect([place, textsOf(joined)]).toEqual([place, textsOf(whole)]);
          expect([place, accumulate(joined)]).toEqual([place, accumulate(whole)]);
        }
      }
    }
  });

  it('do not change when a takeover says the same again', () => {
    const story = play([]);
    story.say('reasoning', 'hm');
    story.say('text', 'one two');
    const before = frames(story.events).length;
    story.dropFrom(1, 3);
    story.say('text', ' tw');
    expect(frames(story.events)).toHaveLength(before);
    story.say('text', 'o three');
    expect(frames(story.events).at(-1)).toMatchObject({ type: 'response.output_text.delta', delta: ' three' });
  });

  it('end an item as incomplete and begin another one where a takeover says something else', () => {
    const story = play([]);
    story.say('text', 'one two');
    story.dropFrom(0, 3);
    story.say('text', ' three');
    story.end();
    const told = frames(story.events);
    expect(told.map(({ type }) => type.replace('response.', ''))).toEqual([
      ...['created', 'queued', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta'],
      ...['output_item.done', 'output_item.added', 'content_part.added', 'output_text.delta'],
      ...['output_text.done', 'content_part.done', 'output_item.done', 'completed'],
    ]);
    expect(told[6]).toMatchObject({ output_index: 0, item: { status: 'incomplete' } });
    expect(told[9]).toMatchObject({ output_index: 1, delta: 'one three' });
    expect(accumulate(told)).toMatchObject({ output_text: 'one three', output: [{ status: 'completed' }] });
  });
});
