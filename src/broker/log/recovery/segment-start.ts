// Reads the heads of the segments that a start replays. A damaged head does not make its segment unreadable: the first
// batch tells the salt, because a checksum depends on its salt in one way only, and the frames of that batch prove it.
import { crc32 } from 'node:zlib';
import {
  BATCH_HEAD_BYTES,
  BATCH_MAGIC,
  decodeBatchHead,
  decodeSegmentHead,
  FORMAT_VERSION,
  SEGMENT_HEAD_BYTES,
  type SegmentHead,
} from '../format/batch-codec.ts';
import type { TurnSlice } from '../../../base/turn-slice.ts';
import type { LogFile, LogFiles } from '../disk/log-files.ts';
import type { Segments } from '../disk/segments.ts';
import { readableFrames } from './readable-frames.ts';

/** Where the checksum of a batch head is, and the bytes before it that it covers. */
const CRC_AT = 28;
const SALT_BITS = 32;
/** A batch head whose checksum is not known yet may name any length: the first batch is read up to this one. */
const FIRST_BATCH_BYTES_MAX = 64 * 1024 * 1024;

export interface SegmentStart {
  readonly id: number;
  /** Undefined if it is damaged and the first batch as well: nothing in the segment can be checked. */
  readonly head: SegmentHead | undefined;
  readonly isDamaged: boolean;
}

/** @throws BrokerError invalid-config: a format of another version */
export async function readStarts(
  files: LogFiles,
  segments: Segments,
  ids: readonly number[],
  slice: TurnSlice,
): Promise<readonly SegmentStart[]> {
  const starts: SegmentStart[] = [];
  for (const id of ids) {
    const file = await files.open(segments.path(id), 'read');
    try {
      const head = decodeSegmentHead(await readUpTo(file, 0, SEGMENT_HEAD_BYTES));
      const isWhole = head?.id === id;
      starts.push({ id, head: isWhole ? head : await headFromFirstBatch(file, id, slice), isDamaged: !isWhole });
    } finally {
      await file.close();
    }
  }
  return starts;
}

async function headFromFirstBatch(file: LogFile, id: number, slice: TurnSlice): Promise<SegmentHead | undefined> {
  const bytes = await readUpTo(file, SEGMENT_HEAD_BYTES, BATCH_HEAD_BYTES);
  if (bytes.length < BATCH_HEAD_BYTES || !bytes.subarray(0, BATCH_MAGIC.length).equals(BATCH_MAGIC)) return undefined;
  const salt = saltOf(bytes);
  const head = decodeBatchHead(bytes, 0, salt);
  if (head === undefined || head.byteLength > FIRST_BATCH_BYTES_MAX) return undefined;
  const frames = await readUpTo(file, SEGMENT_HEAD_BYTES + BATCH_HEAD_BYTES, head.byteLength);
  if (frames.length < head.byteLength) return undefined;
  const parts = await readableFrames(frames, head.frames, slice);
  const isProven = parts.every(({ frame }) => frame !== undefined);
  return isProven ? { version: FORMAT_VERSION, salt, id, firstSequence: head.sequence } : undefined;
}

/** The only salt with which the batch head matches its checksum: the checksum is linear in the bits of the salt, so
 *  the salt is the solution of 32 equations. */
export function saltOf(head: Buffer): number {
  const covered = head.subarray(0, CRC_AT);
  const without = crc32(covered, 0);
  // Each row: what a set of salt bits changes in the checksum, and the set. No two rows have the same highest bit.
  const rows: { change: number; salt: number }[] = [];
  for (let bit = 0; bit < SALT_BITS; bit++) {
    const salt = (1 << bit) >>> 0;
    const row = reduced(rows, { change: (crc32(covered, salt) ^ without) >>> 0, salt });
    rows.push(row);
    rows.sort((a, b) => b.change - a.change);
  }
  return reduced(rows, { change: (head.readUInt32LE(CRC_AT) ^ without) >>> 0, salt: 0 }).salt;
}

function reduced(
  rows: readonly { readonly change: number; readonly salt: number }[],
  { change, salt }: { readonly change: number; readonly salt: number },
): { change: number; salt: number } {
  let [left, set] = [change, salt];
  for (const row of rows) {
    if (Math.clz32(left) !== Math.clz32(row.change)) continue;
    left = (left ^ row.change) >>> 0;
    set = (set ^ row.salt) >>> 0;
  }
  return { change: left, salt: set };
}

export async function readUpTo(file: LogFile, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}
