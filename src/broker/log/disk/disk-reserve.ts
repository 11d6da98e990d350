// Room on the device that is kept for what ends runs, removes chats and expires them: a file of real bytes in the data folder. When
// the device is full, that work shortens the file step by step and goes through; everything else is refused until the file has
// its full length again, so that nobody else uses up the room that was made. Without it a full log could never become smaller,
// because a removal is a record as well. On the path of an append while there is room this is one look at `isWhole`.
import { join } from 'node:path';
import { BrokerError, isBrokerError } from '../../errors.ts';
import type { LogLimits } from '../limits.ts';
import { type LogFile, type LogFiles, isCode } from './log-files.ts';

const NAME = 'reserve';
/** Of the device: at most one part in so many, because on a very small device the chats need the room. */
const DEVICE_SHARE = 16;

export type ReserveLimits = Pick<LogLimits, 'reserveBytes' | 'reserveStepBytes'>;

export class DiskReserve {
  readonly #files: LogFiles;
  readonly #folder: string;
  /** Undefined: the device had no room for even an empty one. */
  #file: LogFile | undefined;
  readonly #bytes: number;
  readonly #stepBytes: number;
  #held: number;
  #isWhole = false;
  /** Calls of `use` that found the device full and are under way: what they freed is theirs, so the file does not grow meanwhile. */
  #waiting = 0;
  #shrinking: Promise<boolean> | undefined;
  #growing: Promise<boolean> | undefined;

  private constructor(files: LogFiles, folder: string, bytes: number, stepBytes: number) {
    this.#files = files;
    this.#folder = folder;
    this.#bytes = bytes;
    this.#stepBytes = stepBytes;
    this.#held = 0;
  }

  /** Not whole until `heal` says so: what a start itself must write comes first. */
  static async open(
    files: LogFiles,
    folder: string,
    { reserveBytes, reserveStepBytes }: ReserveLimits,
  ): Promise<DiskReserve> {
    const deviceBytes = await files.deviceBytes(folder);
    // Some file systems do not say how large they are.
    const bytes = deviceBytes === 0 ? reserveBytes : Math.min(reserveBytes, Math.floor(deviceBytes / DEVICE_SHARE));
    const reserve = new DiskReserve(files, folder, bytes, reserveStepBytes);
    try {
      await reserve.#openFile();
    } catch (error) {
      // Of a folder from before there was a reserve, on a full device: what is in it can be read all the same.
      if (!isCode(error, 'ENOSPC')) throw error;
    }
    return reserve;
  }

  /** While it is not, nothing may be written outside of `use`. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  get bytesLeft(): number {
    return this.#held;
  }

  get isAboveHalf(): boolean {
    return this.#held > this.#bytes / 2;
  }

  /** The device has refused bytes. */
  markUsed(): void {
    this.#isWhole = false;
  }

  /** Tries again with a shorter reserve for as long as the device is full and some of the reserve is left. The first try begins
   *  before this returns. A try that failed for want of room must have changed nothing. @throws what the last try says, or
   *  BrokerError failed where the reserve cannot be shortened */
  async use<T>(attempt: () => Promise<T>, share: 'all' | 'half' = 'all'): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!isFull(error)) throw error;
      return await this.#tryShorter(attempt, error, share);
    }
  }

  /** False: the device has no room for it, or what may use the reserve is being written. @throws BrokerError failed */
  heal(): Promise<boolean> {
    if (this.#waiting > 0) return Promise.resolve(false);
    this.#growing ??= this.#grow().finally(() => (this.#growing = undefined));
    return this.#growing;
  }

  async close(): Promise<void> {
    await this.#growing;
    await this.#file?.close();
  }

  async #tryShorter<T>(attempt: () => Promise<T>, refusal: unknown, share: 'all' | 'half'): Promise<T> {
    this.#waiting += 1;
    try {
      for (let last = refusal; ;) {
        if ((share === 'half' && !this.isAboveHalf) || !(await this.#shrink())) throw last;
        try {
          return await attempt();
        } catch (error) {
          if (!isFull(error)) throw error;
          last = error;
        }
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  /** One step for all that failed together. False: nothing is left, or the device cannot even give something back. */
  #shrink(): Promise<boolean> {
    this.#isWhole = false;
    this.#shrinking ??= this.#giveBack().finally(() => (this.#shrinking = undefined));
    return this.#shrinking;
  }

  async #giveBack(): Promise<boolean> {
    await this.#growing;
    if (this.#file === undefined || this.#held === 0) return false;
    const left = Math.max(0, this.#held - this.#stepBytes);
    try {
      await this.#file.truncate(left);
    } catch (error) {
      mustBeFull(error);
      return false;
    }
    this.#held = left;
    return true;
  }

  /** What it could take it keeps, so that the room that is made bit by bit adds up. */
  async #grow(): Promise<boolean> {
    try {
      const file = this.#file ?? (await this.#openFile());
      if (this.#held < this.#bytes) await this.#fill(file, incompressible(this.#stepBytes));
    } catch (error) {
      mustBeFull(error);
      return false;
    }
    this.#isWhole = this.#waiting === 0;
    return this.#isWhole;
  }

  async #openFile(): Promise<LogFile> {
    const file = await openOrCreate(this.#files, join(this.#folder, NAME));
    this.#file = file;
    // A power cut would take a new file's name, and a device that is full by then may have no room for another.
    await this.#files.syncFolder(this.#folder);
    const size = await file.size();
    if (size > this.#bytes) await file.truncate(this.#bytes);
    this.#held = Math.min(size, this.#bytes);
    return file;
  }

  async #fill(file: LogFile, bytes: Buffer): Promise<void> {
    while (this.#held < this.#bytes && this.#waiting === 0) {
      this.#held += await file.write(bytes.subarray(0, Math.min(bytes.length, this.#bytes - this.#held)), this.#held);
    }
    // Some devices say only now that there was no room.
    await file.datasync();
  }
}

function isFull(error: unknown): boolean {
  return isBrokerError(error, 'disk-full') || isCode(error, 'ENOSPC');
}

/** @throws BrokerError failed */
function mustBeFull(error: unknown): void {
  if (!isCode(error, 'ENOSPC')) throw new BrokerError('failed', 'the reserve file cannot be written', { cause: error });
}

async function openOrCreate(files: LogFiles, path: string): Promise<LogFile> {
  try {
    return await files.open(path, 'write');
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    return files.open(path, 'create');
  }
}

/** A file system that compresses would keep no room for zeros. */
function incompressible(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}
