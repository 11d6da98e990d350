// A disk that loses unflushed data: real files, with a journal of every change that no flush has made durable. A killed
// process loses nothing that it wrote. A power cut undoes a random part of the journal, tears the write at the
// boundary, zeros some of the kept bytes, drops the names of files whose folder was not synced, and brings back
// unlinked files. Bytes that a file had before are afterwards the old or the new ones, and can be overwritten even when
// the disk is full.
//
// Each process run of the engine gets a `LogFiles` of its own, which refuses everything from the crash on. The journal
// outlives the process run, as the page cache outlives a process. Flushes are not passed to the real device: this file
// decides what is durable, and real flushes would only cost time.
import { mkdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { LogFile, LogFiles } from '../../src/broker/log/disk/log-files.ts';
import { FileJournal } from './file-journal.ts';
import { pacedFiles } from './paced-files.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';

/** `eio`: a flush fails and loses the data that it should have flushed. The process keeps running, and must stop
 *  itself. */
export type CrashKind = 'kill' | 'power' | 'eio';

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: 'EIO' | 'ENOSPC' | 'ENOENT';

  constructor(code: DiskError['code'], what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

interface ArmedCrash {
  readonly kind: CrashKind;
  left: number;
}

export class CrashingDisk {
  /** While true, no file can grow. */
  isFull = false;
  readonly random: Random;
  readonly #trash: string;
  readonly #onCrash: (kind: CrashKind) => void;
  readonly #journals = new Map<string, FileJournal>();
  /** Files that were created while their folder has not been synced since. */
  readonly #unnamed = new Set<string>();
  /** Files that were unlinked while their folder has not been synced since: path → where the file is kept. */
  readonly #unlinked = new Map<string, string>();
  /** Descriptors of the process, which the kernel would close at its end. */
  readonly #open = new Set<LogFile>();
  #armed: ArmedCrash | undefined;
  #life = 0;
  #names = 0;

  /** `trash`: an own folder for unlinked files, on the same device. */
  constructor(random: Random, trash: string, onCrash: (kind: CrashKind) => void) {
    this.random = random;
    this.#trash = trash;
    this.#onCrash = onCrash;
  }

  /** The files for the next process run of the engine. The files of earlier runs are dead. */
  newLife(): LogFiles {
    this.#life += 1;
    return new DiskLife(this, this.#life);
  }

  /** From now on no operation of the current process run reaches the disk. */
  die(): void {
    this.#life += 1;
    this.#armed = undefined;
  }

  /** Crashes at the given number of operations from now. The last operation may be carried out, in part, or not at all.
   */
  arm(kind: CrashKind, operations: number): void {
    this.#armed ??= { kind, left: operations };
  }

  disarm(): void {
    this.#armed = undefined;
  }

  isAlive(life: number): boolean {
    return life === this.#life;
  }

  /** @throws DiskError EIO when this process run is over */
  mustLive(life: number): void {
    if (!this.isAlive(life)) throw new DiskError('EIO', 'the process is dead');
  }

  /** Counts an operation. Returns the crash that happens at it, if any. */
  isStruck(isFlush: boolean): CrashKind | undefined {
    const armed = this.#armed;
    if (armed === undefined) return undefined;
    armed.left -= 1;
    if (armed.left > 0 || (armed.kind === 'eio' && !isFlush)) return undefined;
    this.#armed = undefined;
    return armed.kind;
  }

  strike(kind: CrashKind): void {
    if (kind !== 'eio') this.#life += 1;
    this.#onCrash(kind);
  }

  noteOpen(file: LogFile, isOpen: boolean): void {
    if (isOpen) this.#open.add(file);
    else this.#open.delete(file);
  }

  /** Closes the files that the dead process left open. */
  async closeFiles(): Promise<void> {
    const left = [...this.#open];
    this.#open.clear();
    for (const file of left) await file.close();
  }

  journal(path: string): FileJournal {
    let journal = this.#journals.get(path);
    if (journal === undefined) {
      journal = new FileJournal(path);
      this.#journals.set(path, journal);
    }
    return journal;
  }

  noteCreated(path: string): void {
    this.#unnamed.add(path);
  }

  async unlink(path: string): Promise<void> {
    await mkdir(this.#trash, { recursive: true });
    const kept = join(this.#trash, `${(this.#names += 1)}-${basename(path)}`);
    await rename(path, kept);
    this.#journals.delete(path);
    // A file whose name was never durable cannot come back.
    if (!this.#unnamed.delete(path)) this.#unlinked.set(path, kept);
  }

  syncFolder(folder: string): void {
    for (const path of this.#unnamed) if (dirname(path) === folder) this.#unnamed.delete(path);
    for (const path of this.#unlinked.keys()) if (dirname(path) === folder) this.#unlinked.delete(path);
  }

  /** Call it only when the ended process run touches no file any more. */
  async powerCut(): Promise<void> {
    for (const journal of this.#journals.values()) await journal.cut(this.random);
    for (const path of this.#unnamed) {
      if (this.random.chance(0.5)) continue;
      await unlink(path);
      this.#journals.delete(path);
    }
    for (const [path, kept] of this.#unlinked)
      if (!this.#journals.has(path) && this.random.chance(0.5)) await rename(kept, path);
    this.#unnamed.clear();
    this.#unlinked.clear();
  }
}

class DiskLife implements LogFiles {
  readonly #disk: CrashingDisk;
  readonly #life: number;

  constructor(disk: CrashingDisk, life: number) {
    this.#disk = disk;
    this.#life = life;
  }

  async open(path: string, mode: 'create' | 'write' | 'read'): Promise<LogFile> {
    this.#disk.mustLive(this.#life);
    if (mode === 'create') {
      if (this.#disk.isFull) throw new DiskError('ENOSPC', path);
      await this.#operate(async () => {
        await (await pacedFiles.open(path, 'create')).close();
        this.#disk.noteCreated(path);
      });
    }
    const file = await pacedFiles.open(path, mode === 'read' ? 'read' : 'write');
    this.#disk.noteOpen(file, true);
    return new DiskFile(this.#disk, this.#life, file, this.#disk.journal(path));
  }

  makeFolder(path: string): Promise<void> {
    return pacedFiles.makeFolder(path);
  }

  async list(folder: string): Promise<readonly string[]> {
    this.#disk.mustLive(this.#life);
    return pacedFiles.list(folder);
  }

  async unlink(path: string): Promise<void> {
    await this.#operate(() => this.#disk.unlink(path));
  }

  /** No world has blobs or a damaged index, which need a rename. */
  rename(from: string): Promise<void> {
    throw new Error(`not simulated: ${from} is renamed`);
  }

  async syncFolder(path: string): Promise<void> {
    await this.#operate(async () => this.#disk.syncFolder(path));
  }

  deviceBytes(folder: string): Promise<number> {
    this.#disk.mustLive(this.#life);
    return pacedFiles.deviceBytes(folder);
  }

  freeBytes(folder: string): Promise<number> {
    this.#disk.mustLive(this.#life);
    return pacedFiles.freeBytes(folder);
  }

  async #operate(operation: () => Promise<void>): Promise<void> {
    this.#disk.mustLive(this.#life);
    const struck = this.#disk.isStruck(false);
    if (struck === undefined || this.#disk.random.chance(0.5)) await operation();
    if (struck !== undefined) this.#disk.strike(struck);
    this.#disk.mustLive(this.#life);
  }
}

class DiskFile implements LogFile {
  readonly #disk: CrashingDisk;
  readonly #life: number;
  readonly #file: LogFile;
  readonly #journal: FileJournal;

  constructor(disk: CrashingDisk, life: number, file: LogFile, journal: FileJournal) {
    this.#disk = disk;
    this.#life = life;
    this.#file = file;
    this.#journal = journal;
  }

  async write(bytes: Uint8Array, position: number): Promise<number> {
    this.#disk.mustLive(this.#life);
    const { random } = this.#disk;
    if (this.#disk.isFull && position + bytes.length > (await this.#file.size()))
      throw new DiskError('ENOSPC', 'no space left on device');
    const struck = this.#disk.isStruck(false);
    const isShort = struck === undefined ? bytes.length > 1 && random.chance(0.05) : random.chance(0.7);
    const taken = isShort ? bytes.subarray(0, random.between(struck === undefined ? 1 : 0, bytes.length - 1)) : bytes;
    if (taken.length > 0) await this.#journal.write(this.#file, taken, position);
    if (struck !== undefined) this.#disk.strike(struck);
    this.#disk.mustLive(this.#life);
    return taken.length;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    this.#disk.mustLive(this.#life);
    return this.#file.read(into, position);
  }

  /** Bytes that were written before this call are durable when it resolves. */
  async datasync(): Promise<void> {
    this.#disk.mustLive(this.#life);
    const { random } = this.#disk;
    const written = this.#journal.length;
    const struck = this.#disk.isStruck(true);
    await turns(random.between(0, 2));
    if (struck === 'eio') {
      this.#journal.lose();
      this.#disk.strike(struck);
      throw new DiskError('EIO', 'the flush failed');
    }
    if (this.#disk.isAlive(this.#life) && (struck === undefined || random.chance(0.5))) this.#journal.synced(written);
    if (struck !== undefined) this.#disk.strike(struck);
    this.#disk.mustLive(this.#life);
  }

  async truncate(length: number): Promise<void> {
    this.#disk.mustLive(this.#life);
    const struck = this.#disk.isStruck(false);
    if (struck === undefined || this.#disk.random.chance(0.5)) await this.#journal.truncate(this.#file, length);
    if (struck !== undefined) this.#disk.strike(struck);
    this.#disk.mustLive(this.#life);
  }

  size(): Promise<number> {
    this.#disk.mustLive(this.#life);
    return this.#file.size();
  }

  /** Works after the process run ended too: the descriptor belongs to the test process. */
  close(): Promise<void> {
    this.#disk.noteOpen(this.#file, false);
    return this.#file.close();
  }
}
