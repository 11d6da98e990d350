// The projection of a run for a wire that tells changes: what a reader is sent who comes, comes back, or is live.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Projection } from '../../src/stream/projection.ts';
import { projectRun, type Replay, type RunFrames } from '../../src/stream/run-projection.ts';
import type { Change } from '../../src/stream/run/run-change.ts';
import { RunStory, steps } from './run-story.ts';

/** One line for each change. Cannot take text back. */
const lines: RunFrames = {
  tell: (change, _view, offset) => (change.type === 'rewound' ? undefined : `${offset} ${brief(change)}\n`),
  queue: ({ ahead }) => `ahead ${ahead}\n`,
};

function brief(change: Change): string {
  if (change.type === 'delta') return `${change.part} ${change.text}`;
  return 'part' in change ? `${change.type} ${change.part}` : change.type;
}

function project(replay: Replay, after?: number, frames = lines): Projection {
  return projectRun({ runId: 'r', after }, frames, replay);
}

function told(): RunStory {
  const story = new RunStory();
  story.say('text', 'one ');
  story.say('text', 'two');
  return story;
}

describe('projectRun', () => {
  it('sends the fold and then the changes when the replay is the fold', () => {
    const story = told();
    const projection = project('fold');
    projection.fold(story.events.slice(0, 4));
    expect(projection.open()).toBe('3 queued\n3 started\n3 opened 0\n3 0 one two\n');
    story.say('text', ' three');
    story.end();
    expect(projection.next(story.events.slice(4))).toBe('4 0  three\n5 closed 0\n5 ended\n');
    expect(projection.over).toBe('end');
  });

  it('sends each change behind the position when the replay is the events', () => {
    const story = told();
    story.end();
    for (let after = -1; after <= story.head; after += 1) {
      const projection = project('events', after);
      projection.fold(story.events);
      expect([projection.isComplete, projection.over]).toEqual([true, undefined]);
      const all = ['0 queued', '1 started', '2 opened 0', '2 0 one ', '3 0 two', '4 closed 0', '4 ended'];
      const rest = all.filter((line) => Number(line.split(' ')[0]) > after);
      expect([after, projection.open()]).toEqual([after, rest.map((line) => `${line}\n`).join('')]);
      expect(projection.over).toBe('end');
    }
  });

  it('sends nothing of what a restart dropped to a reader that comes later', () => {
    const story = told();
    story.dropFrom(0, 4);
    story.say('text', 'three');
    const projection = project('fold');
    projection.fold(story.events);
    expect(projection.open()).toBe('5 queued\n5 started\n5 opened 0\n5 0 one three\n');
  });

  it('breaks where the frames cannot tell a change, and where records are lost', () => {
    const story = told();
    const projection = project('fold');
    projection.fold(story.events);
    projection.open();
    story.dropFrom(0, 4);
    story.say('text', 'three');
    expect([projection.next(story.events.slice(4)), projection.over]).toEqual(['', 'break']);
    const lost = project('fold');
    lost.fold([...told().events, { offset: 9, event: { type: 'lost', from: 5, to: 9 } }]);
    expect([lost.open(), lost.over]).toEqual(['', 'break']);
    const silent = project('fold', undefined, { ...lines, open: () => undefined });
    expect([silent.open(), silent.over]).toEqual(['', 'break']);
  });

  it.each(['reset', 'reconnect', 'expired'] as const)('breaks when the stream ends with %s', (type) => {
    const projection = project('fold');
    projection.open();
    const rest = { reason: 'removed', epoch: 'e', earliest: 0, next: 1, afterMs: 1 } as const;
    expect([projection.control({ type, ...rest }), projection.over]).toEqual(['', 'break']);
  });

  it('tells the place of its own run only', () => {
    const projection = project('fold');
    expect(projection.control({ type: 'queue', runId: 'r', ahead: 2 })).toBe('ahead 2\n');
    expect(projection.control({ type: 'queue', runId: 'other', ahead: 2 })).toBe('');
  });

  it('sends a prefix and its rest as it sends all, for every cut', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const story = new RunStory();
        for (const one of all) story.play(one);
        story.end();
        // Deltas of one part join, wherever they are cut.
        const joinable: RunFrames = {
          tell: (change) => (change.type === 'delta' ? change.text : `<${brief(change)}>`),
        };
        const whole = project('events', undefined, joinable);
        const text = whole.next(story.events);
        for (let cut = 0; cut <= story.head; cut += 1) {
          const first = project('events', undefined, joinable).next(story.events.slice(0, cut + 1));
          const resumed = project('events', cut, joinable);
          resumed.fold(story.events);
          expect([cut, first + resumed.open()]).toEqual([cut, text]);
        }
      }),
      { numRuns: 60 },
    );
  });
});
