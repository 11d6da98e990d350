// Keeps room on the device for appends that end runs, remove chats or expire them: a file of real bytes in the data
// folder. When the device is full, that work shortens the file step by step and succeeds. The engine refuses everything
// else until the file has its full length again, so that nothing else uses the room that was freed. Without the reserve
// a full log could never become smaller, because a removal is a record as well. While there is room, an append only
// reads `isWhole`.
import { join } from 'node:path';
import { BrokerError, isBrokerError } from '../../errors.ts';
import type { LogLimits } from '../limits.ts';
import { runEvery } from './run-every.ts';
import { type LogFile, type LogFiles, isCode } from './log-files.ts';

const NAME = 'reserve';
/** The reserve takes at most this fraction (1/16) of the device, because on a very small device the chats need the
 *  room. */
const DEVICE_SHARE = 16;

export type ReserveLimits = Pick<LogLimits, 'reserveBytes' | 'reserveStepBytes'>;

export class DiskReserve {
  readonly #files: LogFiles;
  readonly #folder: string;
  /** Undefined if the device had no room for even an empty file. */
  #file: LogFile | undefined;
  readonly #bytes: number;
  readonly #stepBytes: number;
  #held: number;
  #isWhole = false;
  /** Calls of `use` that found the device full and are still running. The file must not grow meanwhile, because they
   *  need what it freed. */
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

  /** The reserve is not whole until `heal` has succeeded, because the start's own writes go first. */
  static async open(
    files: LogFiles,
    folder: string,
    { reserveBytes, reserveStepBytes }: ReserveLimits,
  ): Promise<DiskReserve> {
    const deviceBytes = await files.deviceBytes(folder);
    // Some file systems do not report their size.
    const bytes = deviceBytes === 0 ? reserveBytes : Math.min(reserveBytes, Math.floor(deviceBytes / DEVICE_SHARE));
    const reserve = new DiskReserve(files, folder, bytes, reserveStepBytes);
    try {
      await reserve.#openFile();
    } catch (error) {
      // The folder was made before there was a reserve, and the device is full. Its chats can still be read.
      if (!isCode(error, 'ENOSPC')) throw error;
    }
    return reserve;
  }

  /** While this is false, only calls inside `use` may write. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  get bytesLeft(): number {
    return this.#held;
  }

  get isAboveHalf(): boolean {
    return this.#held > this.#bytes / 2;
  }

  /** Notes that the device has refused bytes. */
  markUsed(): void {
    this.#isWhole = false;
  }

  /** Runs `attempt`, and repeats it with a shorter reserve as long as the device is full and some of the reserve is
   *  left. The first try begins before this returns. A try that fails for lack of room must have changed nothing.
   *  @throws what the last try throws, or BrokerError failed if the reserve cannot be shortened */
  async use<T>(attempt: () => Promise<T>, share: 'all' | 'half' = 'all'): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!isFull(error)) throw error;
      return await this.#tryShorter(attempt, error, share);
    }
  }

  /** Restores the reserve to its full length. False: the device has no room for it, or a call of `use` is still
   *  running.
   *  @throws BrokerError failed */
  heal(): Promise<boolean> {
    if (this.#waiting > 0) return Promise.resolve(false);
    this.#growing ??= this.#grow().finally(() => (this.#growing = undefined));
    return this.#growing;
  }

  async close(): Promise<void> {
    await runEvery([() => this.#growing, () => this.#file?.close()]);
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

  /** Shortens the file by one step for all calls that failed together. False: nothing is left, or the device cannot
   *  even free bytes. */
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

  /** Keeps what it could take, so that room that is freed in small parts adds up. */
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
    // A power cut would remove the name of a new file, and a device that is full by then may have no room for another.
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
    // Some devices report only here that there was no room.
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

/** Bytes that do not compress: a file system that compresses would keep no room for zeros. */
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
