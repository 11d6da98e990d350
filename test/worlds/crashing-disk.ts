// A disk that forgets: real files, and beside them a journal of everything that no flush has made durable yet. A killed
// process loses nothing that it wrote; a power cut undoes a random part of the journal, tears the write at its edge,
// blanks some of what it kept, drops names of files that were never synced, and brings back unlinked ones.
// Bytes that a file had before are never worse than old or new, and can be written again when the disk is full.
//
// Every life of the engine gets a `LogFiles` of its own, which is dead from the moment of the crash on. The journal
// outlives it, as the page cache outlives a process. Flushes are not passed on to the real device: what counts as
// durable is decided here, and real flushes would only cost time.
import { mkdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { LogFile, LogFiles } from '../../src/broker/log/disk/log-files.ts';
import { FileJournal } from './file-journal.ts';
import { pacedFiles } from './paced-files.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';

/** `eio`: a flush fails and takes what it should have flushed with it. The process lives on, and must stop itself. */
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
  /** No file can grow. */
  isFull = false;
  readonly random: Random;
  readonly #trash: string;
  readonly #onCrash: (kind: CrashKind) => void;
  readonly #journals = new Map<string, FileJournal>();
  /** Created, and the folder not synced since. */
  readonly #unnamed = new Set<string>();
  /** Unlinked, and the folder not synced since: path → where it is kept. */
  readonly #unlinked = new Map<string, string>();
  /** Descriptors that the kernel would close. */
  readonly #open = new Set<LogFile>();
  #armed: ArmedCrash | undefined;
  #life = 0;
  #names = 0;

  /** `trash`: a folder of its own, on the same device. */
  constructor(random: Random, trash: string, onCrash: (kind: CrashKind) => void) {
    this.random = random;
    this.#trash = trash;
    this.#onCrash = onCrash;
  }

  /** The next life of the engine gets these; those of earlier lives are dead. */
  newLife(): LogFiles {
    this.#life += 1;
    return new DiskLife(this, this.#life);
  }

  /** From now on nothing reaches the disk. */
  die(): void {
    this.#life += 1;
    this.#armed = undefined;
  }

  /** After so many more operations; the last of them is or is not carried out, or half. */
  arm(kind: CrashKind, operations: number): void {
    this.#armed ??= { kind, left: operations };
  }

  disarm(): void {
    this.#armed = undefined;
  }

  isAlive(life: number): boolean {
    return life === this.#life;
  }

  /** @throws DiskError EIO: that life is over */
  mustLive(life: number): void {
    if (!this.isAlive(life)) throw new DiskError('EIO', 'the process is dead');
  }

  /** Counts an operation. True where the crash happens at it. */
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

  /** What the dead process left open. */
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
    // One that was never named durably is simply gone.
    if (!this.#unnamed.delete(path)) this.#unlinked.set(path, kept);
  }

  syncFolder(folder: string): void {
    for (const path of this.#unnamed) if (dirname(path) === folder) this.#unnamed.delete(path);
    for (const path of this.#unlinked.keys()) if (dirname(path) === folder) this.#unlinked.delete(path);
  }

  /** Only when nothing of the old life touches the files any more. */
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

  /** Of this disk's worlds none has a reserve that is large enough for a copy. */
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

  /** What was written before it began is durable when it ends. */
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

  /** Also of a dead life: the descriptor is ours. */
  close(): Promise<void> {
    this.#disk.noteOpen(this.#file, false);
    return this.#file.close();
  }
}
