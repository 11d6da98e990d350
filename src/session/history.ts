// Reads a chat's messages newest first, a page at a time, at a cost of the page and not of the chat.
//
// Two passes: backward over major records only, to find how far back the page reaches (token deltas are skipped
// unread); then one forward read of that stretch, in which a finished answer is a few records and a hole.
import type { Broker, LogBatch, LogItem } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { decodeEvent, isTerminal } from './chat-event.ts';
import { Transcript, type TranscriptMessage } from './transcript.ts';

export interface HistoryPage {
  /** In order of the chat. */
  readonly messages: readonly TranscriptMessage[];
  /** Offset of the last record that the page reflects: streaming goes on after it. */
  readonly through: number;
  /** Where the next older page ends; undefined on the oldest. */
  readonly before: number | undefined;
}

export interface HistoryRange {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** Only records below this offset count: the head for the newest page, a fence for a worker. */
  readonly next: number;
  /** Only messages whose place is below this offset are wanted. */
  readonly before: number;
}

/** At most `limit` messages. @throws BrokerError epoch-changed, corrupt */
export async function readHistory(broker: Broker, range: HistoryRange, limit: number): Promise<HistoryPage> {
  const span = await findSpan(broker, range, limit);
  const transcript = new Transcript();
  for await (const item of itemsForward(broker, range, span.from, span.to)) transcript.apply(item);
  const placed = transcript.messages().filter((one) => one.place < range.before);
  const kept = placed.slice(-limit);
  const hasOlder = placed.length > kept.length || span.from > 0;
  return {
    messages: kept.map((one) => one.message),
    through: range.next - 1,
    before: hasOlder ? kept[0]?.place : undefined,
  };
}

interface Span {
  readonly from: number;
  readonly to: number;
}

async function findSpan(broker: Broker, range: HistoryRange, limit: number): Promise<Span> {
  let found = 0;
  let from = 0;
  const waiting = new Set<string>();
  const ended = new Set<string>();
  scan: for await (const batch of majorBatches(broker, range, range.before - 1, 'backward')) {
    for (const item of batch.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event === undefined || item.kind !== 'record') continue;
      if (isTerminal(event)) ended.add(event.runId);
      if (event.type === 'run.queued' && ended.has(event.runId)) found += 1;
      if (event.type === 'run.queued' && !ended.has(event.runId)) waiting.add(event.runId);
      if (event.type !== 'message.created') continue;
      found += 1;
      from = item.offset;
      if (found >= limit) break scan;
    }
    if (batch.end) from = 0;
  }
  return { from, to: waiting.size === 0 ? range.before : await findEnds(broker, range, waiting) };
}

/** Prompts may be queued before `before` and answered after it: how far must one read to have their answers? */
async function findEnds(broker: Broker, range: HistoryRange, waiting: Set<string>): Promise<number> {
  if (range.before >= range.next) return range.next;
  for await (const batch of majorBatches(broker, range, range.before, 'forward')) {
    for (const item of batch.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event === undefined || !isTerminal(event)) continue;
      waiting.delete(event.runId);
      if (waiting.size === 0 && item.kind === 'record') return item.offset + 1;
    }
  }
  return range.next;
}

/** Of major records, from `start` on, as far as the range goes. @throws BrokerError epoch-changed */
export async function* majorBatches(broker: Broker, range: HistoryRange, start: number, direction: 'forward' | 'backward'): AsyncGenerator<LogBatch> {
  let offset = start;
  while (offset >= 0 && offset < range.next) {
    const result = await broker.read(range.topic, { epoch: range.epoch, offset }, { direction, majorOnly: true, maxRecords: 256 });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while it was read');
    yield result;
    if (result.end) return;
    offset = result.next;
  }
}

async function* itemsForward(broker: Broker, range: HistoryRange, from: number, to: number): AsyncGenerator<LogItem> {
  let offset = from;
  while (offset < to) {
    const result = await broker.read(range.topic, { epoch: range.epoch, offset });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while it was read');
    for (const item of result.items) {
      if ((item.kind === 'record' ? item.offset : item.from) >= to) return;
      yield item;
    }
    if (result.end) return;
    offset = result.next;
  }
}
