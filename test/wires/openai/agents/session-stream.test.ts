// The events of an Agents session: for every cut the beginning and the rest together are the whole stream, also where
// the readings were merged differently.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ParsedEvent } from '../../../../src/stream/projection.ts';
import { parseEventId } from '../../../../src/wires/openai/agents/event-id.ts';
import { agentsWire, heldOffset } from '../../../../src/wires/openai/agents/session-stream.ts';
import { RunStory, steps, type Step } from '../../../stream/run-story.ts';
import type { AgentSessionEvent } from './agents-client.ts';

const SESSION = {
  sessionId: 's',
  createdAt: '2026-01-01T00:00:00.000Z',
  lastActiveAt: '2026-01-01T00:00:00.000Z',
  metadata: {},
  agent: { agent: 'default', model: '' },
};
const EPOCH = 'e1';

function play(all: readonly Step[]): RunStory {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end('run.completed');
  return story;
}

/** The events that a reader is sent. `after`: the id of the last event that it holds. */
function told(events: readonly ParsedEvent[], after?: string): AgentSessionEvent[] {
  const held = after === undefined ? undefined : parseEventId(after);
  const projection = agentsWire.project(
    { runId: '', after: undefined },
    { epoch: EPOCH, session: SESSION, after: held },
  );
  let text = projection.open();
  for (const event of events) text += projection.next([event]);
  expect(projection.over).toBeUndefined();
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => JSON.parse(frame.slice(frame.indexOf('\ndata: ') + 7)) as AgentSessionEvent);
}

/** Merges adjacent deltas of one part, but not across the offset `cut`. */
function merge(events: readonly ParsedEvent[], cut: number): ParsedEvent[] {
  const merged: ParsedEvent[] = [];
  for (const one of events) {
    const last = merged.at(-1);
    const [before, event] = [last?.event, one.event];
    if (before?.type === 'delta' && event.type === 'delta' && before.part === event.part && last?.offset !== cut)
      merged[merged.length - 1] = {
        offset: one.offset,
        event: { ...event, at: before.at, text: before.text + event.text },
      };
    else merged.push(one);
  }
  return merged;
}

/** The text of each item of text that was not given up, in order. */
function textsOf(all: readonly AgentSessionEvent[]): string[] {
  const texts = new Map<string, string>();
  for (const event of all) {
    if (event.type === 'agent.session.turn.output_text.delta')
      texts.set(event.item_id, (texts.get(event.item_id) ?? '') + event.delta);
    if (event.type === 'agent.session.turn.item.done' && 'status' in event.item && event.item.status === 'incomplete')
      texts.delete(event.item.id);
  }
  return [...texts.values()];
}

/** Behind a restart, arguments of an earlier call may come between the restart and the text that differs. */
const withoutLateArguments = steps.filter(
  (all) => all.every((step) => step.do !== 'restart') || all.every((step) => step.do !== 'arguments'),
);

describe('the events of an Agents session', () => {
  it('are the whole stream together with the rest, for every cut', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (all, at) => {
        const { events } = play(all);
        const whole = told(events);
        const place = at % whole.length;
        expect([...whole.slice(0, place + 1), ...told(events, whole[place]?.event_id)]).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  it('have ids that no other event has, and text that joins', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const story = play(all);
        const whole = told(story.events);
        expect(new Set(whole.map(({ event_id }) => event_id)).size).toBe(whole.length);
        if (all.some((step) => step.do === 'restart')) return;
        const texts = story.parts.filter(({ kind, text }) => kind === 'text' && text !== '').map(({ text }) => text);
        expect(textsOf(whole)).toEqual(texts);
      }),
      { numRuns: 300 },
    );
  });

  it('join with the rest where the rest was merged', () => {
    fc.assert(
      fc.property(withoutLateArguments, fc.nat(), (all, at) => {
        const { events } = play(all);
        const whole = told(events);
        const place = at % whole.length;
        const after = whole[place]?.event_id ?? '';
        const held = parseEventId(after);
        const cut = held === undefined ? -1 : heldOffset(held);
        const joined = [...whole.slice(0, place + 1), ...told(merge(events, cut), after)];
        expect(textsOf(joined)).toEqual(textsOf(whole));
      }),
      { numRuns: 300 },
    );
  });

  it('are exactly the rest for a reader whose own events were merged', () => {
    fc.assert(
      fc.property(withoutLateArguments, fc.nat(), (all, at) => {
        const { events } = play(all);
        const merged = told(merge(events, -1));
        const place = at % merged.length;
        const joined = [...merged.slice(0, place + 1), ...told(events, merged[place]?.event_id)];
        expect(textsOf(joined)).toEqual(textsOf(merged));
      }),
      { numRuns: 300 },
    );
  });
});
