// A reader of a chat with lost records: the gap is an event, and no text behind it joins what does not.
import { expect, test } from 'vitest';
import type { Lost, LogItem, LogRecord } from '../../src/broker/broker.ts';
import { encodeEvent, type ChatEvent } from '../../src/session/events/chat-event.ts';
import { joining } from '../../src/stream/events/joining.ts';
import { wireEvent, type WireEvent } from '../../src/stream/events/wire-event.ts';
import { textWire } from '../../src/wires/text.ts';
import { ProjectedEncoder } from '../../src/stream/projected-encoder.ts';

const RUN = { runId: 'r1', messageId: 'm1' };
const T = '2026-01-01T00:00:00.000Z';

function record(offset: number, event: ChatEvent): LogRecord {
  return { kind: 'record', offset, ...encodeEvent(event) };
}

function delta(offset: number, at: number, text: string, runId = 'r1'): LogRecord {
  const { data } = encodeEvent({ type: 'delta', runId, messageId: 'm1', part: 0, kind: 'text', at, text });
  return { kind: 'record', offset, major: false, data };
}

const lost = (from: number, to: number): Lost => ({ kind: 'lost', from, to });
const started = (offset: number): LogRecord =>
  record(offset, { type: 'run.started', ...RUN, attempt: 1, model: '', createdAt: T });
const restarted = (offset: number, at: number): LogRecord =>
  record(offset, { type: 'run.restarted', runId: 'r1', attempt: 2, part: 0, at, createdAt: T });

/** The events that a reader receives of these pages. */
function received(...pages: readonly (readonly LogItem[])[]): string[] {
  let joins: Set<string> | undefined;
  return pages.flatMap((items) => {
    const joined = joining(
      items.map(wireEvent).filter((event) => event !== undefined),
      joins,
    );
    joins = joined.joins;
    return joined.events.map(({ offset, type }) => `${offset} ${type}`);
  });
}

test('a gap is one event at its last offset, which names both ends', () => {
  expect(wireEvent(lost(3, 5))).toEqual({ offset: 5, type: 'lost', json: '{"from":3,"to":5}' });
});

test('text behind a gap is left out until its run starts from nothing', () => {
  expect(received([started(0), delta(1, 0, 'a'), lost(2, 3), delta(4, 3, 'd')], [delta(5, 4, 'e')])).toEqual([
    '0 run.started',
    '1 delta',
    '3 lost',
  ]);
  expect(received([started(0), lost(1, 2)], [delta(3, 2, 'c'), restarted(4, 0), delta(5, 0, 'A')])).toEqual([
    '0 run.started',
    '2 lost',
    '4 run.restarted',
    '5 delta',
  ]);
  // The text that this start keeps is lost.
  expect(received([started(0), lost(1, 2), restarted(3, 2), delta(4, 2, 'C')])).toEqual(['0 run.started', '2 lost']);
});

test('a run that begins behind a gap is whole, and so are the ends of runs', () => {
  const ended = record(4, { type: 'run.cancelled', runId: 'r1', by: 'you', endedAt: T });
  expect(received([lost(0, 1)], [started(2), delta(3, 0, 'a'), ended])).toEqual([
    '1 lost',
    '2 run.started',
    '3 delta',
    '4 run.cancelled',
  ]);
});

test('without a gap nothing is left out or parsed', () => {
  const events: WireEvent[] = [{ offset: 7, type: 'delta', json: 'no JSON' }];
  expect(joining(events, undefined)).toEqual({ events, joins: undefined });
});

test('the text wire breaks off at a gap inside of its run', () => {
  const encoder = new ProjectedEncoder(textWire.project({ runId: 'r1', after: undefined }));
  const events = [started(0), delta(1, 0, 'a'), lost(2, 2)].map(wireEvent).filter((event) => event !== undefined);
  encoder.encodeEvents('e', events);
  expect(encoder.over).toBe('break');
});
