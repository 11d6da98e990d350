// Fetches records that are no longer in memory: frames that stand close together come with one read, only so many
// reads are under way at once, and no text leaves here whose frame does not match its checksum.
import type { LogBatch } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { LiteTopicName } from '../lite-topic.ts';
import { decodeFrame, recordText, sliceFrame, type Frame, type StoredRecord } from './frame-codec.ts';
import { batchOf, type ColdRecord, type ReadPlan } from './read-plan.ts';
import type { Segments } from './segments.ts';

/** Reading what lies between two wanted frames is cheaper than a second read. */
const GAP_BYTES_MAX = 32 * 1024;
const SPAN_BYTES_MAX = 1024 * 1024;

/** Neighbouring frames of one segment, ascending. */
interface Span {
  readonly segment: number;
  readonly start: number;
  end: number;
  readonly records: ColdRecord[];
}

export class ColdReads {
  readonly #segments: Segments;
  readonly #max: number;
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(segments: Segments, max: number) {
    this.#segments = segments;
    this.#max = max;
  }

  /** @throws BrokerError corrupt, failed */
  async complete(topic: LiteTopicName, plan: ReadPlan): Promise<LogBatch> {
    // All of them in this turn: a segment must not be unlinked between the plan and its turn to be read.
    const reads = spansOf(plan.cold).map((span) => this.#read(topic, plan, span));
    await Promise.all(reads);
    return batchOf(plan);
  }

  async #read(topic: LiteTopicName, plan: ReadPlan, span: Span): Promise<void> {
    const segment = this.#segments.acquire(span.segment);
    if (this.#running >= this.#max) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running += 1;
    try {
      fill(topic, plan, span, await segment.read(span.start, span.end - span.start));
    } catch (error) {
      if (error instanceof BrokerError) throw located(error, topic, span);
      throw new BrokerError('failed', `segment ${span.segment} cannot be read`, { cause: error });
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running -= 1;
      else next();
      await segment.release();
    }
  }
}

function spansOf(cold: readonly ColdRecord[]): Span[] {
  const ordered = [...cold].sort((a, b) => a.location.segment - b.location.segment || a.location.position - b.location.position);
  const spans: Span[] = [];
  for (const record of ordered) {
    const { segment, position, length } = record.location;
    const last = spans.at(-1);
    const near = last?.segment === segment && position - last.end <= GAP_BYTES_MAX && position + length - last.start <= SPAN_BYTES_MAX;
    // A frame that holds several of the records is in the span already, however large it is.
    if (last !== undefined && (near || (last.segment === segment && position + length <= last.end))) {
      last.records.push(record);
      last.end = Math.max(last.end, position + length);
    } else spans.push({ segment, start: position, end: position + length, records: [record] });
  }
  return spans;
}

function fill(topic: LiteTopicName, plan: ReadPlan, span: Span, buffer: Buffer): void {
  let at = -1;
  let frame: Frame<StoredRecord> | undefined;
  for (const { at: place, offset, major, location } of span.records) {
    if (frame === undefined || location.position !== at) {
      at = location.position;
      const slice = sliceFrame(buffer, at - span.start, at - span.start + location.length);
      frame = decodeFrame(buffer, slice.bodyStart, slice.end);
    }
    const record = recordOf(frame, topic, plan.base, offset);
    if (record?.major !== major) throw new BrokerError('corrupt', `offset ${offset} does not stand where the index says`);
    plan.items[place] = { kind: 'record', offset, major, data: recordText(buffer, record) };
  }
}

/** The frame says whose it is: an index that points to the wrong frame must not serve another chat's words. */
function recordOf(frame: Frame<StoredRecord>, topic: LiteTopicName, base: string, offset: number): StoredRecord | undefined {
  if (frame.kind !== 'append') return undefined;
  const write = frame.writes.find((one) => one.topic === topic && one.epoch === base);
  return write?.records[offset - write.first];
}

function located(error: BrokerError, topic: LiteTopicName, span: Span): BrokerError {
  return new BrokerError(error.code, `segment ${span.segment} from byte ${span.start}, of ${topic}: ${error.message}`, { cause: error });
}
