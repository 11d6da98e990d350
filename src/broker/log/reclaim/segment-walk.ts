// Reads the frames of a sealed segment from its first to its last byte, in windows of whole batches. It checks the
// heads of batches, and not the checksums of frames: most frames are dead, and only a frame with a live record is
// checked (live-records.ts).
import { isBrokerError } from '../../errors.ts';
import type { AcquiredSegment } from '../disk/segments.ts';
import {
  BATCH_HEAD_BYTES,
  decodeBatchHead,
  decodeSegmentHead,
  findBatch,
  SEGMENT_HEAD_BYTES,
} from '../format/batch-codec.ts';

/** Bytes of one read. A batch may be larger. Records of one topic within a window are moved together. */
const WINDOW_BYTES = 1024 * 1024;

/** Whole batches of a segment. */
export interface Window {
  readonly buffer: Buffer;
  /** The position in the segment at which the buffer begins. */
  readonly start: number;
  /** Where in the buffer the frames of each batch are. */
  readonly batches: readonly (readonly [from: number, to: number])[];
}

export class SegmentWalk {
  readonly #segment: AcquiredSegment;
  /** The length of the file. */
  readonly #end: number;
  #salt: number | undefined;
  #position = SEGMENT_HEAD_BYTES;

  constructor(segment: AcquiredSegment, end: number) {
    this.#segment = segment;
    this.#end = end;
  }

  /** Undefined at the end of the segment, or if its head is damaged. Passes over damaged batches. */
  async next(): Promise<Window | undefined> {
    try {
      this.#salt ??= decodeSegmentHead(await this.#segment.read(0, SEGMENT_HEAD_BYTES))?.salt;
      return this.#salt === undefined ? undefined : await this.#window(this.#salt);
    } catch (error) {
      if (isBrokerError(error, 'corrupt')) return undefined;
      throw error;
    }
  }

  async #window(salt: number): Promise<Window | undefined> {
    const start = this.#position;
    const left = this.#end - start;
    if (left < BATCH_HEAD_BYTES) return undefined;
    let buffer = await this.#segment.read(start, Math.min(WINDOW_BYTES, left));
    const first = decodeBatchHead(buffer, 0, salt);
    if (first === undefined || first.byteLength > left - BATCH_HEAD_BYTES) {
      const next = findBatch(buffer, 1, salt, () => true);
      // The head of the next batch may begin in this window and end behind it.
      this.#position += next >= 0 ? next : Math.max(1, buffer.length - BATCH_HEAD_BYTES + 1);
      return { buffer, start, batches: [] };
    }
    const needed = BATCH_HEAD_BYTES + first.byteLength;
    if (needed > buffer.length) buffer = await this.#segment.read(start, needed);
    const batches: [number, number][] = [];
    let at = 0;
    for (let head = decodeBatchHead(buffer, at, salt); head !== undefined; head = decodeBatchHead(buffer, at, salt)) {
      const from = at + BATCH_HEAD_BYTES;
      if (head.byteLength > buffer.length - from) break;
      at = from + head.byteLength;
      batches.push([from, at]);
    }
    this.#position = start + at;
    return { buffer, start, batches };
  }
}
