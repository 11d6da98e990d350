// The fold of a run: whoever joins its changes has the answer, and a takeover that says the same again changes nothing.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent } from '../../src/stream/projection.ts';
import { RunView } from '../../src/stream/run/run-view.ts';
import { ChangeReader, RunStory, steps, type Step } from './run-story.ts';

function tell(view: RunView, reader: ChangeReader, events: readonly ParsedEvent[]): void {
  for (const { event, offset } of events) reader.take(view.apply(event, offset), view);
}

/** The reader comes behind `cut`. */
function readFrom(story: RunStory, cut: number): ChangeReader {
  const view = new RunView('r');
  const reader = new ChangeReader();
  for (const { event, offset } of story.events.slice(0, cut)) view.apply(event, offset);
  view.show();
  reader.take(view.changes(), view);
  tell(view, reader, story.events.slice(cut));
  return reader;
}

function answerOf({ parts }: RunStory): ReturnType<typeof toldOf> {
  return {
    parts: parts.map(({ kind, toolCallId, text }) => ({ kind, toolCallId, text, isDone: true })),
    results: Object.fromEntries(
      parts.flatMap(({ toolCallId = '', result }) => (result === undefined ? [] : [[toolCallId, { text: result }]])),
    ),
  };
}

function toldOf({ parts, results }: ChangeReader) {
  return { parts, results: Object.fromEntries(results) };
}

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  return story;
}

describe('RunView', () => {
  it('gives each reader the answer when readers come at any place', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, fails) => {
        const story = play(all);
        story.end(fails ? 'run.failed' : 'run.completed');
        for (let cut = 0; cut <= story.events.length; cut += 1)
          expect([cut, toldOf(readFrom(story, cut))]).toEqual([cut, answerOf(story)]);
      }),
      { numRuns: 200 },
    );
  });

  it('changes nothing when what a restart dropped is said again as it was shown', () => {
    fc.assert(
      fc.property(steps, fc.nat(100), fc.integer({ min: 1, max: 7 }), (all, keep, size) => {
        const story = play(all.filter((one) => one.do !== 'restart'));
        const view = new RunView('r');
        const reader = new ChangeReader();
        view.show();
        tell(view, reader, story.events);
        const from = story.events.length;
        story.restart({ do: 'restart', keep, again: 100, size });
        const again = story.events.slice(from);
        expect(again.flatMap(({ event, offset }) => view.apply(event, offset))).toEqual([]);
        const end = story.events.length;
        story.end();
        tell(view, reader, story.events.slice(end));
        expect([reader.rewinds, toldOf(reader)]).toEqual([0, answerOf(story)]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes back exactly the text from the first other character on', () => {
    const story = new RunStory();
    story.say('text', 'one 🌍 two');
    story.dropFrom(0, 2);
    story.say('text', 'e ');
    story.say('text', '🌎 three');
    const view = new RunView('r');
    view.show();
    const told = story.events.map(({ event, offset }) => view.apply(event, offset));
    expect(told.slice(-3)).toEqual([
      [],
      [],
      [
        { type: 'rewound', part: 0, at: 4, dropped: 0 },
        { type: 'delta', part: 0, text: '🌎 three' },
      ],
    ]);
  });

  it('takes back what the run ends without', () => {
    const story = new RunStory();
    story.say('text', 'one two');
    story.call('c1');
    story.dropFrom(0, 3);
    story.end();
    const view = new RunView('r');
    view.show();
    const told = story.events.map(({ event, offset }) => view.apply(event, offset));
    expect(told.at(-1)).toEqual([
      { type: 'rewound', part: 0, at: 3, dropped: 1 },
      { type: 'closed', part: 0 },
      { type: 'ended' },
    ]);
  });

  it('takes back the result of a call that is said again without it', () => {
    const story = new RunStory();
    story.call('c1');
    story.play({ do: 'result', which: 0, text: 'a house' });
    story.dropFrom(0, 0);
    story.call('c1');
    story.end('run.failed');
    const view = new RunView('r');
    view.show();
    const told = story.events.map(({ event, offset }) => view.apply(event, offset));
    expect(told.at(-1)).toEqual([
      { type: 'rewound', part: 0, at: 0, dropped: 0 },
      { type: 'closed', part: 0 },
      { type: 'ended' },
    ]);
  });

  it('takes back the parts behind a text that is said again shorter', () => {
    const story = new RunStory();
    story.say('text', 'one two');
    story.call('c1');
    story.dropFrom(0, 0);
    story.say('text', 'one');
    story.call('c1');
    const view = new RunView('r');
    view.show();
    const told = story.events.map(({ event, offset }) => view.apply(event, offset));
    expect(told.slice(-2)).toEqual([
      [],
      [
        { type: 'rewound', part: 0, at: 3, dropped: 1 },
        { type: 'closed', part: 0 },
        { type: 'opened', part: 1 },
      ],
    ]);
  });

  it('keeps two calls apart whose deltas alternate, and closes each with its result', () => {
    const story = new RunStory();
    story.call('c1');
    story.call('c2');
    for (const which of [0, 1, 0, 1]) story.play({ do: 'arguments', which, text: `${which}` });
    story.play({ do: 'result', which: 1, text: 'second' });
    story.play({ do: 'result', which: 0, text: 'first' });
    const view = new RunView('r');
    view.show();
    const told = story.events.flatMap(({ event, offset }) => view.apply(event, offset));
    expect(told.map(({ type, ...rest }) => ('part' in rest ? `${type} ${rest.part}` : type))).toEqual([
      ...['queued', 'started', 'opened 0', 'opened 1', 'delta 0', 'delta 1', 'delta 0', 'delta 1'],
      ...['closed 1', 'result', 'closed 0', 'result'],
    ]);
    expect(view.parts.map(({ text, toolName }) => [text.toString(), toolName])).toEqual([
      ['00', 'look'],
      ['11', 'look'],
    ]);
  });

  it('is lost when records are lost, until the run starts again from nothing', () => {
    const story = new RunStory();
    story.say('text', 'a');
    const view = new RunView('r');
    for (const { event, offset } of story.events) view.apply(event, offset);
    expect(view.apply({ type: 'lost', from: 3, to: 4 }, 4)).toEqual([{ type: 'lost' }]);
    expect(view.isLost).toBe(true);
    story.dropFrom(0, 0);
    for (const { event, offset } of story.events.slice(-1)) view.apply(event, offset + 4);
    expect(view.isLost).toBe(false);
  });

  it('is lost when text comes for a part behind which another has begun', () => {
    const view = new RunView('r');
    const delta = { type: 'delta', runId: 'r', messageId: 'm', kind: 'text', at: 0 } as const;
    view.apply({ ...delta, part: 0, text: 'a' }, 1);
    view.apply({ ...delta, part: 1, text: 'b' }, 2);
    expect(view.apply({ ...delta, part: 0, text: 'late' }, 3)).toEqual([{ type: 'lost' }]);
  });
});
