// @ts-check
// The file `index.copy` beside an index: everything that the index holds, in a form of which each byte is checked, so
// that a damaged index can be made again although segments of the log were removed. The file begins with a base, which
// is written in slices while the index changes; each change of the index follows as a block of its own, in the order in
// which the index thread applied them. Whoever applies all blocks in their order has the index after the last of them.
// It handles bytes; index-thread.js decides what it writes and when. Plain JavaScript, as index-thread.js is.
import * as nodeFs from 'node:fs';
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * What a copy needs of a file system.
 * @typedef {Pick<typeof nodeFs, 'openSync' | 'writeSync' | 'readSync' | 'fdatasyncSync' | 'ftruncateSync' | 'fstatSync'
 *   | 'closeSync'>} CopyFiles
 */

/** The kinds of blocks: a part of the base, the end of the base, and the changes of one transaction of the index. */
export const BASE = 1;
export const BASE_END = 2;
export const CHANGES = 3;

const NOTHING = Buffer.alloc(0);
const MAGIC = Buffer.from('HLINDEXC', 'latin1');
const VERSION = 1;
/** Magic, version, a salt that no other copy has, checksum. */
const HEAD_BYTES = 24;
const SALT_BYTES = 8;
/** Kind, length, number, checksum over these and the bytes; seeded with the salt. */
const BLOCK_HEAD_BYTES = 16;
/** The salt, the end of the file, the end of its base, the number of its blocks, and the caller's check. */
const MARK_BYTES = SALT_BYTES + 8 + 8 + 4 + 4;

/** How far a copy has come. `end`: its length; `baseEnd`: 0 until its base is whole.
 *  @typedef {{ readonly end: number, readonly baseEnd: number, readonly blocks: number }} CopyPlace */

export class CopyFile {
  #files;
  #fd;
  #salt;
  #seed;
  #end;
  #baseEnd;
  #blocks;

  /** @param {CopyFiles} files @param {number} fd @param {Buffer} salt @param {CopyPlace} place */
  constructor(files, fd, salt, { end, baseEnd, blocks }) {
    this.#files = files;
    this.#fd = fd;
    this.#salt = salt;
    this.#seed = crc32(salt);
    this.#end = end;
    this.#baseEnd = baseEnd;
    this.#blocks = blocks;
  }

  /** A new file without a base. @param {string} path @param {CopyFiles} files */
  static create(path, files = nodeFs) {
    const fd = files.openSync(path, 'wx+', 0o600);
    const salt = randomBytes(SALT_BYTES);
    const copy = new CopyFile(files, fd, salt, { end: HEAD_BYTES, baseEnd: 0, blocks: 0 });
    copy.#write(encodeHead(salt), 0);
    return copy;
  }

  /** The file of which the index holds the mark, cut off where the mark says that it ends; undefined if it is not that
   *  file, or shorter. @param {string} path @param {Buffer} mark @param {CopyFiles} files */
  static continued(path, mark, files = nodeFs) {
    if (mark.length !== MARK_BYTES) return undefined;
    const salt = mark.subarray(0, SALT_BYTES);
    const place = { end: mark.readDoubleLE(8), baseEnd: mark.readDoubleLE(16), blocks: mark.readUInt32LE(24) };
    const fd = openIfThere(files, path);
    if (fd === undefined) return undefined;
    let isContinued = false;
    try {
      const isSame = decodeHead(readFully(files, fd, 0, HEAD_BYTES))?.equals(salt) === true;
      const { size } = files.fstatSync(fd);
      if (!isSame || size < place.end || place.baseEnd === 0) return undefined;
      // A transaction of the index that did not become durable may have left its block behind.
      if (size > place.end) files.ftruncateSync(fd, place.end);
      isContinued = true;
      return new CopyFile(files, fd, Buffer.from(salt), place);
    } finally {
      if (!isContinued) files.closeSync(fd);
    }
  }

  /** @returns {CopyPlace} */
  get place() {
    return { end: this.#end, baseEnd: this.#baseEnd, blocks: this.#blocks };
  }

  /** As `encodeMark` says. @param {number} check */
  mark(check) {
    return encodeMark(this.#salt, this.place, check);
  }

  /** @param {number} kind @param {readonly Uint8Array[]} parts */
  append(kind, parts) {
    const head = Buffer.alloc(BLOCK_HEAD_BYTES);
    head.writeUInt32LE(kind, 0);
    head.writeUInt32LE(
      parts.reduce((sum, { length }) => sum + length, 0),
      4,
    );
    head.writeUInt32LE(this.#blocks, 8);
    head.writeUInt32LE(checksum(this.#seed, head, parts), 12);
    let at = this.#end;
    for (const part of [head, ...parts]) at += this.#write(part, at);
    this.#end = at;
    this.#blocks += 1;
    if (kind === BASE_END) this.#baseEnd = at;
  }

  /** Everything that was appended is on the device when it returns. */
  sync() {
    this.#files.fdatasyncSync(this.#fd);
  }

  /** Takes back what was appended after `place`. @param {CopyPlace} place */
  cutBack({ end, baseEnd, blocks }) {
    if (this.#end !== end) this.#files.ftruncateSync(this.#fd, end);
    [this.#end, this.#baseEnd, this.#blocks] = [end, baseEnd, blocks];
  }

  close() {
    this.#files.closeSync(this.#fd);
  }

  /** @param {Uint8Array} bytes @param {number} position */
  #write(bytes, position) {
    for (let done = 0; done < bytes.length;)
      done += this.#files.writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    return bytes.length;
  }
}

/** What identifies a copy and its present end. `check`: a number of 32 bits, by which the caller finds out that the
 *  index has changed without the copy. @param {Buffer} salt @param {CopyPlace} place @param {number} check */
export function encodeMark(salt, { end, baseEnd, blocks }, check) {
  const mark = Buffer.alloc(MARK_BYTES);
  salt.copy(mark);
  mark.writeDoubleLE(end, 8);
  mark.writeDoubleLE(baseEnd, 16);
  mark.writeUInt32LE(blocks, 24);
  mark.writeUInt32LE(check, 28);
  return mark;
}

/** The check in a mark. @param {Buffer} mark */
export function checkOf(mark) {
  return mark.length === MARK_BYTES ? mark.readUInt32LE(28) : undefined;
}

/**
 * The blocks of a copy in their order, up to the first one that is damaged or cut off. The last block that was written
 * may be torn, so an end before it is no error; a copy without the end of its base (`baseEnd` 0) holds nothing of use.
 * Returns how far it could be read.
 * @param {string} path @param {CopyFiles} files
 * @returns {Generator<{ readonly kind: number, readonly bytes: Buffer }, CopyPlace & { readonly salt: Buffer }>}
 */
export function* readBlocks(path, files = nodeFs) {
  const fd = openIfThere(files, path);
  let [end, baseEnd, blocks] = [0, 0, 0];
  if (fd === undefined) return { end, baseEnd, blocks, salt: NOTHING };
  try {
    const salt = decodeHead(readFully(files, fd, 0, HEAD_BYTES));
    if (salt === undefined) return { end, baseEnd, blocks, salt: NOTHING };
    const { size } = files.fstatSync(fd);
    end = HEAD_BYTES;
    for (let block; (block = readBlock(files, fd, { at: end, size, number: blocks, seed: crc32(salt) }));) {
      end += BLOCK_HEAD_BYTES + block.bytes.length;
      blocks += 1;
      if (block.kind === BASE_END) baseEnd = end;
      yield block;
    }
    return { end, baseEnd, blocks, salt };
  } finally {
    files.closeSync(fd);
  }
}

/**
 * Undefined if no whole block of this number begins there.
 * @param {CopyFiles} files @param {number} fd
 * @param {{ readonly at: number, readonly size: number, readonly number: number, readonly seed: number }} place
 */
function readBlock(files, fd, { at, size, number, seed }) {
  const head = readFully(files, fd, at, BLOCK_HEAD_BYTES);
  if (head.length < BLOCK_HEAD_BYTES || head.readUInt32LE(8) !== number) return undefined;
  const [kind, length] = [head.readUInt32LE(0), head.readUInt32LE(4)];
  if (length > size - at - BLOCK_HEAD_BYTES) return undefined;
  const bytes = readFully(files, fd, at + BLOCK_HEAD_BYTES, length);
  const isWhole = bytes.length === length && checksum(seed, head, [bytes]) === head.readUInt32LE(12);
  return isWhole ? { kind, bytes } : undefined;
}

/** @param {number} seed @param {Buffer} head @param {readonly Uint8Array[]} parts */
function checksum(seed, head, parts) {
  let sum = crc32(head.subarray(0, 12), seed);
  // zlib starts again at a buffer without bytes.
  for (const part of parts) if (part.length > 0) sum = crc32(part, sum);
  return sum;
}

/** @param {Buffer} salt */
function encodeHead(salt) {
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(VERSION, 8);
  salt.copy(head, 12);
  head.writeUInt32LE(crc32(head.subarray(0, 20)), 20);
  return head;
}

/** The salt; undefined if the head is damaged or of another version. @param {Buffer} head */
function decodeHead(head) {
  if (head.length < HEAD_BYTES || !head.subarray(0, 8).equals(MAGIC)) return undefined;
  if (head.readUInt32LE(8) !== VERSION || head.readUInt32LE(20) !== crc32(head.subarray(0, 20))) return undefined;
  return head.subarray(12, 20);
}

/** @param {CopyFiles} files @param {string} path */
function openIfThere(files, path) {
  try {
    return files.openSync(path, 'r+');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Shorter at the end of the file, and before bytes that the device cannot read: they are as bad as cut off.
 *  @param {CopyFiles} files @param {number} fd @param {number} at @param {number} length */
function readFully(files, fd, at, length) {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const count = readPart(files, fd, bytes.subarray(done), at + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** @param {CopyFiles} files @param {number} fd @param {Buffer} into @param {number} at */
function readPart(files, fd, into, at) {
  try {
    return files.readSync(fd, into, 0, into.length, at);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 0;
    throw error;
  }
}
