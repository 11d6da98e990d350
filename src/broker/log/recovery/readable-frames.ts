// Finds the frames of a batch that match their checksums. No I/O. A damaged frame is skipped by its length only if the
// batch then has the number of frames that its head says: otherwise the length may be damaged, and what follows could
// be text of a client that looks like a frame.
import type { TurnSlice } from '../../../base/turn-slice.ts';
import { BrokerError } from '../../errors.ts';
import { decodeFrame, FRAME_HEAD_BYTES, sliceFrame, type Frame, type StoredRecord } from '../format/frame-codec.ts';

/** A part of a batch. `frame` is undefined for a part that cannot be read. */
export interface BatchPart {
  readonly frame: Frame<StoredRecord> | undefined;
  readonly start: number;
  readonly end: number;
}

/** `bytes`: the frames of the batch, without its head. `count`: their number, as the head says. `slice` counts the
 *  frames, because a batch may have tens of thousands. @throws BrokerError corrupt: a frame matches its checksum and is
 *  none that this build knows */
export async function readableFrames(bytes: Buffer, count: number, slice: TurnSlice): Promise<readonly BatchPart[]> {
  const parts: BatchPart[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = endOfFrame(bytes, at);
    if (end === undefined) break;
    parts.push({ frame: frameAt(bytes, at, end), start: at, end });
    at = end;
    if (slice.isOver()) await slice.next();
  }
  if (parts.length === count && parts.at(-1)?.end === bytes.length) return parts;
  const first = parts.findIndex(({ frame }) => frame === undefined);
  const whole = first < 0 ? parts : parts.slice(0, first);
  return [...whole, { frame: undefined, start: whole.at(-1)?.end ?? 0, end: bytes.length }];
}

/** Undefined if the frame's length cannot be right. */
function endOfFrame(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < FRAME_HEAD_BYTES) return undefined;
  const length = bytes.readUInt32LE(at);
  const end = at + FRAME_HEAD_BYTES + length;
  return length === 0 || end > bytes.length ? undefined : end;
}

function frameAt(bytes: Buffer, at: number, end: number): Frame<StoredRecord> | undefined {
  let bodyStart: number;
  try {
    ({ bodyStart } = sliceFrame(bytes, at, end));
  } catch (error) {
    if (error instanceof BrokerError) return undefined;
    throw error;
  }
  return decodeFrame(bytes, bodyStart, end);
}
