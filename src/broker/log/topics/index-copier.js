// @ts-check
// What the index thread does about the copy of an index (index-copy.js): it appends each change of the index to it
// inside the change's own transaction, in which no other process can own the folder, and writes the next copy in slices
// between the changes. The index holds a mark of its copy, so a start finds out at once whether they belong together.
// Plain JavaScript, as index-thread.js is.
import * as nodeFs from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { BASE, BASE_END, CHANGES, checkOf, CopyFile, encodeMark, readBlocks } from './index-copy.js';
import { openRoot, openStore, STORES } from './index-stores.js';

/** As in index-changes.ts. */
const HEAD_BYTES = 12;
const COPY_KEY = Buffer.from('copy', 'latin1');
const OWNER_KEY = Buffer.from('owner', 'latin1');
const CHECKPOINT_KEY = Buffer.from('checkpoint', 'latin1');
const NOTHING = Buffer.alloc(0);
/** Bytes of a base in one slice, about 2 ms: a checkpoint may be waiting. */
const SLICE_BYTES = 256 * 1024;
/** Slices between two flushes, so that the last one is short. */
const SLICES_A_FLUSH = 16;
/** Another copy is due when the changes behind the base take more than the base, and more than this. */
const CHANGES_BYTES_MIN = 4 * 1024 * 1024;
/** Bytes of a copy that one transaction puts into an index. */
const LOAD_BYTES = 8 * 1024 * 1024;

/** @typedef {import('./index-stores.js').Store} Store */
/** @typedef {import('./index-stores.js').Root} Root */
/** @typedef {import('./index-copy.js').CopyPlace} CopyPlace */
/** @typedef {import('./index-writer.ts').CopyState} CopyState */
/**
 * What the copier needs of a file system beside its copies.
 * @typedef {import('./index-copy.js').CopyFiles &
 *   Pick<typeof nodeFs, 'fsyncSync' | 'renameSync' | 'rmSync' | 'statfsSync' | 'statSync'>} CopierFiles
 */
/** @typedef {{ readonly file: CopyFile, store: number, after: Buffer | undefined, slices: number }} Next */

export class IndexCopier {
  #folder;
  #files;
  #sliceBytes;
  #stores;
  #state;
  /** Has every change of the index. @type {CopyFile | undefined} */
  #copy;
  /** The copy that is being written. @type {Next | undefined} */
  #next;
  /** @type {string | undefined} */
  #lost;
  /** Before, the claim of an owner changes the index, which says nothing of another one. */
  #isAttached = false;

  /**
   * @param {string} folder of the index @param {readonly Store[]} stores
   * @param {CopierFiles} files @param {number} sliceBytes
   */
  constructor(folder, stores, files = nodeFs, sliceBytes = SLICE_BYTES) {
    const state = stores[STORES.indexOf('state')];
    if (state === undefined) throw new Error('the index has no state');
    this.#folder = folder;
    this.#files = files;
    this.#sliceBytes = sliceBytes;
    this.#stores = stores;
    this.#state = state;
  }

  /** @returns {CopyState} */
  get state() {
    const place = this.#copy?.place;
    const isDue = place === undefined || place.end - place.baseEnd > Math.max(CHANGES_BYTES_MIN, place.baseEnd);
    return { isCurrent: place !== undefined, isDue, lost: this.#lost };
  }

  /** Continues the copy of an earlier process run. Inside a transaction of the owner. */
  attach() {
    this.close();
    this.#isAttached = true;
    const mark = this.#state.get(COPY_KEY);
    const isNew = this.#state.get(CHECKPOINT_KEY) === undefined;
    // A build that wrote no copy may have changed the index since.
    const isSame = !isNew && mark !== undefined && checkOf(mark) === this.#check();
    try {
      this.#files.rmSync(this.#newPath, { force: true });
      if (isSame) this.#copy = CopyFile.continued(this.#path, mark, this.#files);
    } catch (error) {
      // The copy counts as lost, and another one is written: the index can be read without it.
      this.#lost = messageOf(error);
    }
    if (isNew) this.#copyNothing();
  }

  /** Nothing is in the index yet, so its copy takes one step. */
  #copyNothing() {
    try {
      while (!this.slice());
    } catch {
      // The next checkpoint tries again.
    }
  }

  /** Appends the changes to the copy. Inside their transaction. @param {readonly Buffer[]} pages */
  note(pages) {
    if (!this.#isAttached) return;
    try {
      this.#next?.file.append(CHANGES, pages);
    } catch {
      // The copy that is there serves on.
      this.#abandonNext();
    }
    try {
      this.#copy?.append(CHANGES, pages);
      this.#copy?.sync();
    } catch (error) {
      this.#lost = messageOf(error);
      this.drop();
    }
    this.#saveMark();
  }

  /** Where the copy ends; for `undo`. */
  get place() {
    return this.#copy?.place;
  }

  /** A transaction of changes has failed. `before`: where the copy ended before it.
   *  @param {CopyPlace | undefined} before */
  undo(before) {
    this.#abandonNext();
    try {
      if (before !== undefined) this.#copy?.cutBack(before);
    } catch {
      this.drop();
    }
  }

  /** Writes a part of the next copy, which replaces the copy with its last part. Inside a transaction of the owner.
   *  True: that was the last part. @throws the system's error; an error of lmdb: an entry cannot be read */
  slice() {
    try {
      const next = (this.#next ??= this.#begin());
      next.file.append(BASE, [this.#read(next)]);
      if (next.store === STORES.length) {
        this.#finish(next.file);
        return true;
      }
      next.slices += 1;
      if (next.slices % SLICES_A_FLUSH === 0) next.file.sync();
      return false;
    } catch (error) {
      this.#abandonNext();
      throw error;
    }
  }

  /** Removes the copy. When it returns, no start finds it any more. */
  drop() {
    this.#copy?.close();
    this.#copy = undefined;
    this.#files.rmSync(this.#path, { force: true });
    this.#syncFolder();
  }

  /** Leaves the file of an unfinished copy to the next `attach`: it may be that of another process, which has replaced
   *  this one. */
  close() {
    this.#next?.file.close();
    this.#copy?.close();
    [this.#copy, this.#next, this.#lost, this.#isAttached] = [undefined, undefined, undefined, false];
  }

  get #path() {
    return `${this.#folder}.copy`;
  }

  get #newPath() {
    return `${this.#path}.new`;
  }

  /** @returns {Next} */
  #begin() {
    const { blocks, bavail, bsize } = this.#files.statfsSync(this.#folder);
    const bytes = this.#files.statSync(join(this.#folder, 'data.mdb')).size;
    // Some file systems do not report their size.
    if (blocks > 0 && bavail * bsize < 2 * bytes)
      throw Object.assign(new Error('no space left on the device for a copy of the index'), { code: 'ENOSPC' });
    this.#files.rmSync(this.#newPath, { force: true });
    return { file: CopyFile.create(this.#newPath, this.#files), store: 0, after: undefined, slices: 0 };
  }

  /** The next entries, as changes that put them. @param {Next} next */
  #read(next) {
    const parts = [];
    let bytes = 0;
    for (; next.store < STORES.length; next.store += 1, next.after = undefined) {
      const store = this.#stores[next.store];
      const from = next.after;
      for (const { key, value } of store?.getRange(from === undefined ? {} : { start: from }) ?? []) {
        if (from?.equals(key) === true || (store === this.#state && isOwn(key))) continue;
        const head = Buffer.alloc(HEAD_BYTES);
        for (const [i, number] of [next.store, key.length, value.length + 1].entries())
          head.writeUInt32LE(number, 4 * i);
        parts.push(head, key, value);
        bytes += HEAD_BYTES + key.length + value.length;
        next.after = key;
        if (bytes >= this.#sliceBytes) return Buffer.concat(parts);
      }
    }
    return Buffer.concat(parts);
  }

  /** @param {CopyFile} file */
  #finish(file) {
    file.append(BASE_END, []);
    file.sync();
    // From here on it is not known which of the two files has the name, until the folder is on the device.
    this.#copy?.close();
    this.#copy = undefined;
    this.#files.renameSync(this.#newPath, this.#path);
    this.#syncFolder();
    [this.#copy, this.#next, this.#lost] = [file, undefined, undefined];
    this.#saveMark();
  }

  #abandonNext() {
    this.#next?.file.close();
    if (this.#next !== undefined) this.#files.rmSync(this.#newPath, { force: true });
    this.#next = undefined;
  }

  #saveMark() {
    if (this.#copy === undefined) this.#state.removeSync(COPY_KEY);
    else this.#state.putSync(COPY_KEY, this.#copy.mark(this.#check()));
  }

  #syncFolder() {
    const folder = this.#files.openSync(dirname(this.#path), 'r');
    try {
      this.#files.fsyncSync(folder);
    } finally {
      this.#files.closeSync(folder);
    }
  }

  #check() {
    return crc32(this.#state.get(CHECKPOINT_KEY) ?? NOTHING);
  }
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Keys that say nothing of another index. @param {Buffer} key */
function isOwn(key) {
  return key.equals(COPY_KEY) || key.equals(OWNER_KEY);
}

/** @param {readonly Store[]} stores @param {Buffer} page */
export function applyPage(stores, page) {
  for (let at = 0; at < page.length;) {
    const store = stores[page.readUInt32LE(at)];
    const keyEnd = at + HEAD_BYTES + page.readUInt32LE(at + 4);
    const valueMark = page.readUInt32LE(at + 8);
    const key = page.subarray(at + HEAD_BYTES, keyEnd);
    at = keyEnd + Math.max(0, valueMark - 1);
    if (valueMark === 0) store?.removeSync(key);
    else store?.putSync(key, page.subarray(keyEnd, at));
  }
}

/**
 * Makes an index in an empty folder from a copy, and marks it as the copy of this index. False: the copy holds no whole
 * base, and the folder nothing of use.
 * @param {string} folder @param {string} path
 */
export async function loadCopy(folder, path) {
  const root = openRoot(folder);
  try {
    const stores = STORES.map((name) => openStore(root, name));
    const state = stores[STORES.indexOf('state')];
    /** @type {Buffer[]} */
    let pages = [];
    let bytes = 0;
    const flush = (/** @type {() => void} */ last) => {
      root.transactionSync(() => {
        for (const page of pages) applyPage(stores, page);
        last();
      });
      [pages, bytes] = [[], 0];
    };
    const blocks = readBlocks(path);
    let next = blocks.next();
    for (; next.done !== true; next = blocks.next()) {
      pages.push(next.value.bytes);
      bytes += next.value.bytes.length;
      if (bytes >= LOAD_BYTES) flush(() => undefined);
    }
    const { salt, ...place } = next.value;
    flush(() => state?.putSync(COPY_KEY, encodeMark(salt, place, crc32(state.get(CHECKPOINT_KEY) ?? NOTHING))));
    return place.baseEnd > 0;
  } finally {
    await root.close();
  }
}
