// Reads a branch of a chat newest first, a page at a time, at a cost of the page and not of the chat.
//
// Two passes: backward along the branch, over major records only, to find how far back the page reaches (token deltas
// and other branches are skipped unread); then forward over the stretches of the log that hold it, in which a finished
// answer is a few records and a hole.
import type { Broker, LogItem } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { Turning } from './branch-links.ts';
import { BranchReader, type Stretch } from './branch-reader.ts';
import type { LogRange } from './major-records.ts';
import { Transcript, type PlacedMessage, type TranscriptMessage } from './transcript.ts';

export interface HistoryPage {
  /** In order of the chat. */
  readonly messages: readonly TranscriptMessage[];
  /** Offset of the last record that the page reflects: streaming goes on after it. */
  readonly through: number;
  /** Where the next older page ends; undefined on the oldest. */
  readonly before: number | undefined;
}

/** `next`: the head for a reader, a fence for a worker. */
export interface HistoryRange extends LogRange {
  /** The place of the branch's last run, to begin with; undefined where nothing was said yet. */
  readonly tip?: number | undefined;
  /** Only messages before this place are wanted: that of an earlier page's oldest message, or of a worker's own run. */
  readonly before?: number | undefined;
}

/** At most `limit` messages, and at least one where there is one. @throws BrokerError epoch-changed, corrupt */
export async function readHistory(broker: Broker, range: HistoryRange, limit: number): Promise<HistoryPage> {
  const { tip, before, next } = range;
  const reader = new BranchReader(broker, range, before ?? tip, limit);
  if (before === undefined && tip !== undefined) await reader.lookAtHead();
  let path: readonly Turning[] = [];
  let placed: PlacedMessage[] = [];
  while (placed.length === 0 && !reader.isDone) {
    path = [...(await reader.readBack(limit)), ...path];
    const messages = await fold(broker, range, path, await reader.stretches(path));
    placed = before === undefined ? messages : messages.filter(({ place }) => place < before);
  }
  const kept = placed.slice(-limit);
  const hasOlder = placed.length > kept.length || !reader.isDone;
  return { messages: kept.map((one) => one.message), through: next - 1, before: hasOlder ? kept[0]?.place : undefined };
}

async function fold(broker: Broker, range: LogRange, path: readonly Turning[], stretches: readonly Stretch[]): Promise<PlacedMessage[]> {
  const transcript = new Transcript(new Set(path.map(({ at }) => at)));
  for (const stretch of stretches) {
    for await (const item of itemsOf(broker, range, stretch)) transcript.apply(item);
  }
  return transcript.messages();
}

async function* itemsOf(broker: Broker, { topic, epoch }: LogRange, { from, to }: Stretch): AsyncGenerator<LogItem> {
  let offset = from;
  while (offset < to) {
    const result = await broker.read(topic, { epoch, offset });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while it was read');
    for (const item of result.items) {
      if ((item.kind === 'record' ? item.offset : item.from) >= to) return;
      yield item;
    }
    if (result.end) return;
    offset = result.next;
  }
}
