// Reads the runs of a chat newest first, one page at a time. It reads only major records, so the length of answers does
// not matter, and the cost is that of the page's runs.
import type { Broker } from '../../broker/broker.ts';
import { decodeEvent, isTerminal, type ChatEvent } from '../events/chat-event.ts';
import { majorBatches, type LogPrefix } from './major-records.ts';
import { batchChars } from '../events/paced-read.ts';
import { RunTimelines, type RunTimeline } from './run-timeline.ts';

/** UTF-16 code units of the records that are read for one page. A page with more ends early. The limit is needed
 *  because the read includes the prompts, though the page does not. */
export const RUN_PAGE_CHARS_MAX = 4 * 1024 * 1024;

export interface RunPage {
  /** Newest first. */
  readonly runs: readonly RunTimeline[];
  /** Offset of the oldest one's `run.queued`, where the next older page ends; undefined on the oldest. */
  readonly before: number | undefined;
}

/** At most `limit` runs, and at least one if there is one, with their `run.queued` below offset `before`.
 *  @throws BrokerError epoch-changed, corrupt */
export async function readRuns(broker: Broker, log: LogPrefix, before: number, limit: number): Promise<RunPage> {
  const page = await readBackward(broker, log, before, limit);
  const timelines = new RunTimelines();
  for (const event of page.events) timelines.apply(event);
  for (const event of await readEnds(broker, log, before, page.events)) timelines.apply(event);
  return { runs: timelines.list().reverse(), before: page.before };
}

/** In log order, from the oldest `run.queued` of the page on. */
async function readBackward(
  broker: Broker,
  log: LogPrefix,
  below: number,
  limit: number,
): Promise<{ events: ChatEvent[]; before: number | undefined }> {
  const newestFirst: ChatEvent[] = [];
  let found = 0;
  let oldest: number | undefined;
  let chars = 0;
  for await (const batch of majorBatches(broker, log, below - 1, 'backward')) {
    chars += batchChars(batch);
    for (const item of batch.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event === undefined || item.kind !== 'record' || !('runId' in event)) continue;
      const isFull = found === limit || (found > 0 && chars > RUN_PAGE_CHARS_MAX);
      if (event.type === 'run.queued' && isFull) return { events: newestFirst.reverse(), before: oldest };
      newestFirst.push(event);
      if (event.type !== 'run.queued') continue;
      found += 1;
      oldest = item.offset;
    }
  }
  return { events: newestFirst.reverse(), before: undefined };
}

/** The events above the page of those of its runs that had not ended in it, because they were queued behind newer
 *  ones. */
async function readEnds(
  broker: Broker,
  log: LogPrefix,
  from: number,
  events: readonly ChatEvent[],
): Promise<ChatEvent[]> {
  const open = new Set<string>();
  for (const event of events) {
    if (event.type === 'run.queued') open.add(event.runId);
    if (isTerminal(event)) open.delete(event.runId);
  }
  const later: ChatEvent[] = [];
  if (open.size === 0) return later;
  for await (const batch of majorBatches(broker, log, from, 'forward')) {
    for (const item of batch.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event === undefined || !('runId' in event) || !open.has(event.runId)) continue;
      later.push(event);
      if (isTerminal(event)) open.delete(event.runId);
      if (open.size === 0) return later;
    }
  }
  return later;
}
