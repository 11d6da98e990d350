// Encodes and decodes the two heads in a segment file: the file's own, and that of each batch (one group commit). Pure.
// The checksums of batch heads are seeded with the segment's salt, which no client can learn: recovery searches behind
// a torn tail for later batches, and must never take record data that looks like a batch for one.
import { crc32 } from 'node:zlib';
import { BrokerError } from '../../errors.ts';

/** `[magic 8, version 4, salt 4, segment id 8, first batch sequence 8, crc 4, zero 4]` */
export const SEGMENT_HEAD_BYTES = 40;
/** `[magic 4, byte length of the frames 4, sequence 8, engine time 8, frames 4, crc 4]` */
export const BATCH_HEAD_BYTES = 32;
/** What this build writes. Format 2: the flags of a write are a varint, and there are further kinds of frames. */
export const FORMAT_VERSION = 2;
/** The oldest format that this build reads. Each format includes the ones before it: every frame of format 1 has the
 *  same bytes in format 2, so one decoder reads both. */
const OLDEST_VERSION = 1;
/** A larger version number counts as damage and not as a version. */
const VERSION_MAX = 1000;

const SEGMENT_MAGIC = Buffer.from('holdline', 'latin1');
export const BATCH_MAGIC = Buffer.from([0xb5, 0x48, 0x4c, 0xd1]);

export interface SegmentHead {
  readonly version: number;
  readonly salt: number;
  readonly id: number;
  /** The sequence of the first batch that the segment can hold. */
  readonly firstSequence: number;
}

export interface BatchHead {
  readonly byteLength: number;
  readonly sequence: number;
  /** ms since 1970, in the engine's time. */
  readonly time: number;
  readonly frames: number;
}

export interface LogPosition {
  readonly segment: number;
  /** Bytes from the start of the segment file. */
  readonly position: number;
  /** The sequence of the next batch. */
  readonly sequence: number;
}

export function encodeSegmentHead(head: Omit<SegmentHead, 'version'>): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEAD_BYTES);
  SEGMENT_MAGIC.copy(bytes);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(head.salt, 12);
  bytes.writeDoubleLE(head.id, 16);
  bytes.writeDoubleLE(head.firstSequence, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
  return bytes;
}

/** Undefined if the bytes are no whole head. @throws BrokerError invalid-config: a format of another version */
export function decodeSegmentHead(bytes: Buffer): SegmentHead | undefined {
  if (bytes.length < SEGMENT_HEAD_BYTES || !bytes.subarray(0, 8).equals(SEGMENT_MAGIC)) return undefined;
  const version = bytes.readUInt32LE(8);
  const isWhole = crc32(bytes.subarray(0, 32)) === bytes.readUInt32LE(32);
  // Another version may lay out its head differently, so a wrong checksum proves nothing. One flipped bit of a version
  // that this build reads is damage.
  const isOther = isWhole
    ? !isReadable(version)
    : version > FORMAT_VERSION && version <= VERSION_MAX && !isOneBitAway(version);
  if (isOther) throw otherVersion('log', version);
  if (!isWhole) return undefined;
  return { version, salt: bytes.readUInt32LE(12), id: bytes.readDoubleLE(16), firstSequence: bytes.readDoubleLE(24) };
}

export function isReadable(version: number): boolean {
  return version >= OLDEST_VERSION && version <= FORMAT_VERSION;
}

function isOneBitAway(version: number): boolean {
  for (let readable = OLDEST_VERSION; readable <= FORMAT_VERSION; readable++) {
    const difference = version ^ readable;
    if ((difference & (difference - 1)) === 0) return true;
  }
  return false;
}

export function otherVersion(what: 'log' | 'index', version: number): BrokerError {
  return new BrokerError(
    'invalid-config',
    `the ${what} was written by another version of holdline: it has format ${version}, and this build reads formats ${OLDEST_VERSION} to ${FORMAT_VERSION}. Nothing was changed`,
  );
}

export function encodeBatchHead(into: Buffer, head: BatchHead, salt: number): void {
  BATCH_MAGIC.copy(into);
  into.writeUInt32LE(head.byteLength, 4);
  into.writeDoubleLE(head.sequence, 8);
  into.writeDoubleLE(head.time, 16);
  into.writeUInt32LE(head.frames, 24);
  into.writeUInt32LE(crc32(into.subarray(0, 28), salt), 28);
}

/** Where in the bytes a wanted batch begins, from `from` on; -1 if there is none. */
export function findBatch(bytes: Buffer, from: number, salt: number, isWanted: (head: BatchHead) => boolean): number {
  for (let at = bytes.indexOf(BATCH_MAGIC, from); at >= 0; at = bytes.indexOf(BATCH_MAGIC, at + 1)) {
    const head = decodeBatchHead(bytes, at, salt);
    if (head !== undefined && isWanted(head)) return at;
  }
  return -1;
}

/** Undefined if there is no whole head at `at`. */
export function decodeBatchHead(bytes: Buffer, at: number, salt: number): BatchHead | undefined {
  if (bytes.length - at < BATCH_HEAD_BYTES || bytes.readUInt32LE(at) !== BATCH_MAGIC.readUInt32LE(0)) return undefined;
  if (crc32(bytes.subarray(at, at + 28), salt) !== bytes.readUInt32LE(at + 28)) return undefined;
  return {
    byteLength: bytes.readUInt32LE(at + 4),
    sequence: bytes.readDoubleLE(at + 8),
    time: bytes.readDoubleLE(at + 16),
    frames: bytes.readUInt32LE(at + 24),
  };
}
