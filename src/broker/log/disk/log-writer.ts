// Appends batches to the log: one at a time, never across two segments, so that only the last batch of the last segment
// can be torn. Owns the current segment file and begins the next one. If a batch does not fit on the device, the writer
// cuts it off again before any caller is notified.
import { crc32 } from 'node:zlib';
import {
  BATCH_HEAD_BYTES,
  encodeBatchHead,
  encodeSegmentHead,
  FORMAT_VERSION,
  SEGMENT_HEAD_BYTES,
  type LogPosition,
} from '../format/batch-codec.ts';
import { DescriptorReserve } from './descriptors.ts';
import { type LogFile, type LogFiles, isCode } from './log-files.ts';
import type { Segments } from './segments.ts';
import { runEvery } from './run-every.ts';

export interface OpenSegment {
  readonly id: number;
  /** The format of the log (batch-codec.ts). */
  readonly version: number;
  readonly salt: number;
  readonly file: LogFile;
  position: number;
}

/** The device is full, and the log is as before. Any other error of `write` is fatal. */
export class DeviceFull extends Error {}

export class LogWriter {
  readonly #files: LogFiles;
  readonly #segments: Segments;
  readonly #segmentBytes: number;
  readonly #earlyBytes: number;
  readonly #newSalt: () => string;
  #current: OpenSegment | undefined;
  #nextId: number;
  #sequence: number;
  /** The next batch begins a segment. After an unclean end the earlier process may still run, unseen, and write once
   *  more before it detects that it was replaced, so this process must not write to the same segment. */
  #mustRoll: boolean;
  /** One descriptor for the next segment's file, and one for the flush of its folder. */
  readonly #fileReserve = new DescriptorReserve();
  readonly #folderReserve = new DescriptorReserve();
  readonly #reserves = [this.#fileReserve, this.#folderReserve];

  constructor(
    files: LogFiles,
    segments: Segments,
    options: { readonly segmentBytes: number; readonly earlyBytes: number; readonly newSalt: () => string },
    end: {
      readonly current: OpenSegment | undefined;
      readonly nextId: number;
      readonly sequence: number;
      readonly mustRoll: boolean;
    },
  ) {
    this.#files = files;
    this.#segments = segments;
    this.#segmentBytes = options.segmentBytes;
    this.#earlyBytes = options.earlyBytes;
    this.#newSalt = options.newSalt;
    this.#current = end.current;
    this.#nextId = end.nextId;
    this.#sequence = end.sequence;
    // The frames of a segment are of the format that its head names.
    const isOlder = end.current !== undefined && end.current.version < FORMAT_VERSION;
    this.#mustRoll = end.mustRoll || isOlder;
  }

  /** Where the next batch goes; in a new log, segment 0. */
  get position(): LogPosition {
    return { segment: this.#current?.id ?? 0, position: this.#current?.position ?? 0, sequence: this.#sequence };
  }

  /**
   * Fills in the batch's head and writes the batch. Returns where the batch begins.
   * @throws DeviceFull: nothing was written. After any other error, the log must not be written any more.
   */
  async write(
    batch: Buffer,
    frames: number,
    time: number,
  ): Promise<{ readonly segment: number; readonly position: number }> {
    const segment = await this.#segmentFor(batch.length);
    const byteLength = batch.length - BATCH_HEAD_BYTES;
    encodeBatchHead(batch, { byteLength, sequence: this.#sequence, time, frames }, segment.salt);
    const position = segment.position;
    try {
      await writeFully(segment.file, batch, position);
    } catch (error) {
      if (!isCode(error, 'ENOSPC')) throw error;
      await segment.file.truncate(position);
      throw new DeviceFull('no room on the device', { cause: error });
    }
    this.#sequence += 1;
    segment.position += batch.length;
    return { segment: segment.id, position };
  }

  /** Lets the next batch begin a segment, if the present one is large enough. Called on a full device: a segment can
   *  be dropped once all its records are removed, but never the segment that is being written. */
  endSegmentEarly(): void {
    if (this.#current !== undefined && this.#current.position >= this.#earlyBytes) this.#mustRoll = true;
  }

  /** Begins a segment, unless nothing was written to the present one. Call it between two batches.
   *  @throws DeviceFull */
  async endSegment(): Promise<void> {
    if (this.#current === undefined || this.#current.position === SEGMENT_HEAD_BYTES) return;
    this.#mustRoll = true;
    await this.#segmentFor(0);
  }

  /** Begins a segment in any case: the present one is damaged, or its file is missing. Call it before any write.
   *  @throws DeviceFull */
  async leaveDamagedSegment(): Promise<void> {
    this.#mustRoll = true;
    await this.#segmentFor(0);
  }

  async sync(): Promise<void> {
    await this.#current?.file.datasync();
  }

  /** Called before the process has used up its descriptors. */
  async fillReserve(): Promise<void> {
    for (const reserve of this.#reserves) await reserve.fill();
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    await runEvery([...this.#reserves.map((reserve) => () => reserve.release()), () => current?.file.close()]);
  }

  async #segmentFor(bytes: number): Promise<OpenSegment> {
    const current = this.#current;
    if (
      current !== undefined &&
      !this.#mustRoll &&
      (current.position === SEGMENT_HEAD_BYTES || current.position + bytes <= this.#segmentBytes)
    ) {
      return current;
    }
    // Flushed before the next segment begins, in every durability mode. So only the last segment can have a torn tail,
    // and damage before it is damage.
    await this.sync();
    const created = await this.#create(this.#nextId);
    this.#nextId += 1;
    this.#current = created;
    this.#mustRoll = false;
    this.#segments.add(created.id, false);
    if (current !== undefined) {
      this.#segments.seal(current.id, current.position);
      await current.file.close();
    }
    await this.fillReserve();
    return created;
  }

  /** Makes the file and its name durable before anything in it can be acknowledged. */
  async #create(id: number): Promise<OpenSegment> {
    const path = this.#segments.path(id);
    const salt = crc32(this.#newSalt());
    let file: LogFile | undefined;
    try {
      file = await this.#fileReserve.use(() => this.#files.open(path, 'create'));
      await writeFully(file, encodeSegmentHead({ salt, id, firstSequence: this.#sequence }), 0);
    } catch (error) {
      if (!isCode(error, 'ENOSPC')) throw error;
      if (file !== undefined) {
        await file.close();
        await this.#files.unlink(path);
      }
      throw new DeviceFull('no room on the device', { cause: error });
    }
    await file.datasync();
    await this.#folderReserve.use(() => this.#files.syncFolder(this.#segments.folder));
    return { id, version: FORMAT_VERSION, salt, file, position: SEGMENT_HEAD_BYTES };
  }
}

/** A device may take fewer bytes than given, and report the reason only when it is given the rest. */
async function writeFully(file: LogFile, bytes: Buffer, position: number): Promise<void> {
  let done = await file.write(bytes, position);
  while (done < bytes.length) done += await file.write(bytes.subarray(done), position + done);
}
