// The fold of a run that waits, and the streams of its legs: whoever comes at any place has the same, and what was
// written before a wait is never taken back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent } from '../../src/stream/projection.ts';
import { projectRun, type Extent, type RunFrames } from '../../src/stream/run-projection.ts';
import type { Change } from '../../src/stream/run/run-change.ts';
import { RunView } from '../../src/stream/run/run-view.ts';
import { ChangeReader, legSteps, RunStory, type Step } from './run-story.ts';

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  return story;
}

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

function answerOf({ parts, legStarts, settled }: RunStory) {
  return {
    parts: parts.map(({ kind, toolCallId, text }) => ({ kind, toolCallId, text, isDone: true })),
    results: Object.fromEntries(
      parts.flatMap(({ toolCallId = '', result }) => (result === undefined ? [] : [[toolCallId, { text: result }]])),
    ),
    legStarts,
    inputs: settled,
  };
}

function toldOf({ parts, results, legStarts, inputs }: ChangeReader) {
  return { parts, results: Object.fromEntries(results), legStarts, inputs };
}

/** One word for each change. */
const words: RunFrames = {
  tell: (change, view) => (change.type === 'delta' ? `{${change.part}:${change.text}}` : `<${wordOf(change, view)}>`),
};

function wordOf(change: Change, view: RunView): string {
  switch (change.type) {
    case 'asked':
    case 'answered':
      return `${change.type} ${change.input.request.inputId}`;
    case 'waiting':
      return `waiting ${change.leg}${view.waitsBehind(change.leg) ? ' now' : ''}`;
    case 'resumed':
      return `resumed ${change.leg}`;
    case 'opened':
    case 'closed':
      return `${change.type} ${change.part}`;
    case 'rewound':
      return `rewound ${change.part} ${change.at}`;
    case 'result':
      return `result ${change.toolCallId}`;
    default:
      return change.type;
  }
}

/** What a reader of that extent is sent that comes behind `cut` events, and whether its stream has ended. */
function stream(story: RunStory, extent: Extent, cut: number): { readonly text: string; readonly over: unknown } {
  const projection = projectRun({ runId: 'r', after: undefined }, words, 'fold', extent);
  let text = '';
  let at = 0;
  // A stream opens where it has caught up, or where nothing that follows counts.
  for (; at < cut && !projection.isComplete; at += 1) projection.fold(story.events.slice(at, at + 1));
  text += projection.open();
  for (; at < story.events.length && projection.over === undefined; at += 1)
    text += projection.next(story.events.slice(at, at + 1));
  return { text, over: projection.over };
}

describe('RunView of a run that waits', () => {
  it('gives each reader the answer, its inputs and its legs when readers come at any place', () => {
    fc.assert(
      fc.property(legSteps, (all) => {
        const story = play(all);
        story.end();
        for (let cut = 0; cut <= story.events.length; cut += 1)
          expect([cut, toldOf(readFrom(story, cut))]).toEqual([cut, answerOf(story)]);
      }),
      { numRuns: 200 },
    );
  });

  it('never takes back what was written before a wait', () => {
    fc.assert(
      fc.property(legSteps, legSteps, (before, after) => {
        const story = play([...before, { do: 'wait', inputs: 1, asksTools: false, expires: false }]);
        const view = new RunView('r');
        const reader = new ChangeReader();
        view.show();
        tell(view, reader, story.events);
        const kept = structuredClone(reader.parts);
        const from = story.events.length;
        for (const one of after) story.play(one);
        tell(view, reader, story.events.slice(from));
        expect(reader.parts.slice(0, kept.length)).toEqual(kept);
      }),
      { numRuns: 200 },
    );
  });

  it('tells the legs one by one as it tells all of them', () => {
    fc.assert(
      fc.property(legSteps, (all) => {
        const story = play(all);
        story.end();
        const view = new RunView('r');
        for (const { event, offset } of story.events) view.apply(event, offset);
        const isOfLegs = ({ type }: Change): boolean => type !== 'answered' && type !== 'result';
        const legs = story.legStarts.flatMap((_, leg) => view.legChanges(leg));
        expect(legs.filter(isOfLegs)).toEqual(view.changes().filter(isOfLegs));
      }),
      { numRuns: 100 },
    );
  });

  it('tells the result of an approved call in the leg in which it came', () => {
    const story = new RunStory();
    story.call('c1');
    const [inputId = ''] = story.ask({ inputs: 1, asksTools: false });
    story.settle(inputId);
    story.resume();
    story.play({ do: 'result', which: 0, text: 'paid' });
    story.say('text', 'Done.');
    const view = new RunView('r');
    for (const { event, offset } of story.events) view.apply(event, offset);
    expect(view.legChanges(0).map(({ type }) => type)).toEqual([
      ...['queued', 'started', 'opened', 'closed', 'asked', 'waiting'],
    ]);
    expect(view.legChanges(1).map(({ type }) => type)).toEqual(['resumed', 'result', 'opened', 'delta']);
  });

  it('is lost until the leg in which records were lost starts again, and not longer', () => {
    const story = play([
      { do: 'text', text: 'a' },
      { do: 'wait', inputs: 1, asksTools: false, expires: false },
      { do: 'text', text: 'b' },
    ]);
    const view = new RunView('r');
    for (const { event, offset } of story.events) view.apply(event, offset);
    view.apply({ type: 'lost', from: 20, to: 21 }, 21);
    story.dropFrom(1, 0);
    for (const { event, offset } of story.events.slice(-1)) view.apply(event, offset + 20);
    expect(view.isLost).toBe(false);
  });
});

describe('a stream of one leg', () => {
  it('is the same for readers that come at any place, and ends with its leg', () => {
    fc.assert(
      fc.property(legSteps, (all) => {
        // A reader that comes behind a restart is not sent what the restart took back.
        const story = play(all.filter((one) => one.do !== 'restart'));
        story.end();
        for (const leg of story.legStarts.keys()) {
          const whole = stream(story, leg, 0);
          expect(whole.over).toBe('end');
          expect(whole.text.startsWith(leg === 0 ? '<queued><started>' : `<resumed ${leg}>`)).toBe(true);
          const last = leg === story.legStarts.length - 1 ? '<ended>' : `<waiting ${leg} now>`;
          expect(whole.text.endsWith(last)).toBe(true);
          for (let cut = 1; cut <= story.events.length; cut += 1) {
            const { text, over } = stream(story, leg, cut);
            expect([cut, sorted(text), over]).toEqual([cut, sorted(whole.text), 'end']);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('waits for a leg that has not begun, and ends with the run that ends before it', () => {
    const story = new RunStory();
    const [inputId = ''] = story.ask({ inputs: 1, asksTools: false });
    const projection = projectRun({ runId: 'r', after: undefined }, words, 'fold', 1);
    projection.fold(story.events);
    expect([projection.isComplete, projection.open(), projection.over]).toEqual([false, '', undefined]);
    const from = story.events.length;
    story.settle(inputId, true);
    story.end('run.failed');
    expect([projection.next(story.events.slice(from)), projection.over]).toEqual(['<ended>', 'end']);
  });
});

describe('a stream that ends at a wait', () => {
  it('tells all legs, and ends where the run waits when the reader comes', () => {
    const story = play([
      { do: 'text', text: 'a' },
      { do: 'wait', inputs: 1, asksTools: false, expires: false },
      { do: 'text', text: 'b' },
    ]);
    const [inputId = ''] = story.ask({ inputs: 1, asksTools: false });
    const first = '<queued><started><opened 0>{0:a}<closed 0><asked i1>';
    const legs = `${first}<waiting 0><answered i1><resumed 1><opened 1>{1:b}<closed 1><asked i2><waiting 1 now>`;
    expect(stream(story, 'wait', story.events.length)).toEqual({ text: legs, over: 'end' });
    expect(stream(story, 'wait', 0)).toEqual({ text: `${first}<waiting 0 now>`, over: 'end' });
    story.settle(inputId);
    const answered = stream(story, 'wait', story.events.length);
    expect(answered).toEqual({ text: `${legs.replace(' now', '')}<answered i2>`, over: undefined });
    expect(stream(story, 'run', 0)).toMatchObject({ over: undefined });
  });
});

/** The text of each part, and the other changes in the order of their words: a result comes at another place between
 *  the parts, and closes its call, where a reader comes behind it. */
function sorted(text: string): readonly string[] {
  const told = text.split(/(<[^>]*>)/).filter((word) => word !== '');
  const texts: string[] = [];
  for (const [, part = '', said = ''] of text.matchAll(/\{(\d+):([^}]*)\}/gu))
    texts[Number(part)] = `${texts[Number(part)] ?? `${part}:`}${said}`;
  return [...told.filter((word) => word.startsWith('<')).toSorted(), ...texts.flat()];
}
