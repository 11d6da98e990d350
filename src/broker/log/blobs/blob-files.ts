// The blobs of the embedded engine: one file for each, in `blobs/<two hex digits>/<topic>~<generation>/<id>` of the
// data folder. The names of the folders come from the topic, so that a start needs no index of blobs.
//
// A file is `<chunk> <crc>` for each chunk, then the head as UTF-8, then 16 bytes: the length and the CRC of the head,
// the length of all chunks, and a magic number. It is written as `<id>.part`, flushed, renamed, and its folder is
// flushed: so every file without the ending is whole, whenever the power fails.
import { createHash } from 'node:crypto';
import { rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  BLOB_CHUNK_BYTES,
  blobRemoved,
  checkBlobHead,
  checkBlobName,
  damagedBlob,
  nextBlobLength,
  type BlobEntry,
  type BlobOwner,
  type BlobOwnerEntry,
  type BlobOwnerPage,
  type BlobStore,
  type BlobWriter,
  type StoredBlob,
} from '../../blobs.ts';
import { BrokerError, isBrokerError } from '../../errors.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import { isCode, type LogFile, type LogFiles } from '../disk/log-files.ts';

const CRC_BYTES = 4;
const FOOTER_BYTES = 16;
const MAGIC = 0x31_42_4c_48; // 'HLB1'
const PART = '.part';
/** A name of a file has at most 255 bytes on common file systems. */
const NAME_BYTES_MAX = 255;
const SHARDS = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'));

export interface BlobRoom {
  /** Throws if the engine is closed. */
  readonly mustBeOpen: () => void;
  /** True while the device is full: the last bytes belong to the log. */
  readonly isFull: () => boolean;
}

export class BlobFiles implements BlobStore {
  readonly #files: LogFiles;
  readonly #root: string;
  readonly #room: BlobRoom;
  /** The blobs that are being written. */
  readonly #writers = new Set<FileWriter>();

  constructor(files: LogFiles, folder: string, room: BlobRoom) {
    this.#files = files;
    this.#root = join(folder, 'blobs');
    this.#room = room;
  }

  async begin(owner: BlobOwner, id: string): Promise<BlobWriter> {
    checkBlobName(owner, id);
    this.#mustHaveRoom();
    const folder = this.#folderOf(owner);
    const [path, part] = [join(folder, id), join(folder, id + PART)];
    if ((await this.#names(folder)).includes(id)) throw new BrokerError('conflict', 'a blob has this id');
    const file = await this.#create(folder, part);
    const writer: FileWriter = new FileWriter({
      ...{ files: this.#files, file, folder, path, part },
      mayWrite: () => this.#mustHaveRoom(),
      onEnd: () => this.#writers.delete(writer),
    });
    this.#writers.add(writer);
    return writer;
  }

  async open(owner: BlobOwner, id: string): Promise<StoredBlob | undefined> {
    this.#room.mustBeOpen();
    checkBlobName(owner, id);
    let file: LogFile;
    try {
      file = await this.#files.open(join(this.#folderOf(owner), id), 'read');
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw deviceError(error);
    }
    try {
      return await readFooter(file, id);
    } catch (error) {
      await file.close();
      throw deviceError(error);
    }
  }

  async remove(owner: BlobOwner, id: string): Promise<void> {
    this.#room.mustBeOpen();
    checkBlobName(owner, id);
    await this.#unlink(this.#folderOf(owner), [id, id + PART]);
  }

  async removeAll(owner: BlobOwner): Promise<void> {
    this.#room.mustBeOpen();
    const folder = this.#folderOf(owner);
    await this.#unlink(folder, await this.#names(folder));
  }

  async list(owner: BlobOwner): Promise<readonly BlobEntry[]> {
    this.#room.mustBeOpen();
    const names = await this.#names(this.#folderOf(owner));
    return names.map((name) =>
      name.endsWith(PART) ? { id: name.slice(0, -PART.length), isSealed: false } : { id: name, isSealed: true },
    );
  }

  async owners(limit: number, after = ''): Promise<BlobOwnerPage> {
    this.#room.mustBeOpen();
    const owners: BlobOwnerEntry[] = [];
    const [from = '', behind = ''] = after.split('/', 2);
    for (const shard of SHARDS) {
      if (shard < from) continue;
      const names = (await this.#names(join(this.#root, shard))).filter((name) => shard > from || name > behind).sort();
      for (const name of names) {
        const owner = await this.#ownerAt(shard, name);
        if (owner === undefined) continue;
        owners.push(owner);
        if (owners.length === limit) return { owners, after: `${shard}/${name}` };
      }
    }
    return { owners };
  }

  keep(): Promise<void> {
    return Promise.resolve();
  }

  /** Ends the blobs that are being written. */
  async close(): Promise<void> {
    for (const writer of [...this.#writers]) await writer.discard();
  }

  /** @throws BrokerError conflict */
  async #create(folder: string, part: string): Promise<LogFile> {
    try {
      await this.#files.makeFolder(folder);
      const file = await this.#files.open(part, 'create');
      // The names of the new folders must be durable before a file in them counts as durable.
      for (const one of [join(folder, '..'), this.#root, join(this.#root, '..')]) await this.#files.syncFolder(one);
      return file;
    } catch (error) {
      if (isCode(error, 'EEXIST')) throw new BrokerError('conflict', 'a blob has this id');
      if (isCode(error, 'ENOENT')) throw blobRemoved();
      throw deviceError(error);
    }
  }

  async #unlink(folder: string, names: readonly string[]): Promise<void> {
    for (const name of names) {
      await this.#files.unlink(join(folder, name)).catch(unlessMissing);
    }
    await this.#files.syncFolder(folder).catch(unlessMissing);
    // A folder that is not empty belongs to an owner with other blobs.
    await rmdir(folder).catch(() => undefined);
  }

  async #ownerAt(shard: string, name: string): Promise<BlobOwnerEntry | undefined> {
    const end = name.lastIndexOf('~');
    if (end < 0) return undefined;
    try {
      const { mtimeMs } = await stat(join(this.#root, shard, name));
      const topic = parseLiteTopicName(name.slice(0, end).replaceAll('+', '/'));
      return { topic, generation: name.slice(end + 1), changedAt: mtimeMs };
    } catch (error) {
      if (isCode(error, 'ENOENT') || isBrokerError(error, 'invalid-topic')) return undefined;
      throw error;
    }
  }

  async #names(folder: string): Promise<readonly string[]> {
    try {
      return await this.#files.list(folder);
    } catch (error) {
      unlessMissing(error);
      return [];
    }
  }

  #folderOf({ topic, generation }: BlobOwner): string {
    const name = `${topic.replaceAll('/', '+')}~${generation}`;
    if (name.length > NAME_BYTES_MAX)
      throw new BrokerError('invalid-append', 'the name of this topic is too long for blobs');
    const shard = createHash('sha256').update(topic).digest('hex').slice(0, 2);
    return join(this.#root, shard, name);
  }

  #mustHaveRoom(): void {
    this.#room.mustBeOpen();
    if (this.#room.isFull()) throw new BrokerError('disk-full', 'the device is full');
  }
}

interface FileWriterOptions {
  readonly files: LogFiles;
  readonly file: LogFile;
  readonly folder: string;
  readonly path: string;
  readonly part: string;
  /** Throws if the device has no room, or the engine is closed. */
  readonly mayWrite: () => void;
  readonly onEnd: () => void;
}

class FileWriter implements BlobWriter {
  readonly #options: FileWriterOptions;
  readonly #crc = Buffer.alloc(CRC_BYTES);
  #bytes = 0;
  #position = 0;
  #isOver = false;

  constructor(options: FileWriterOptions) {
    this.#options = options;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#options.mayWrite();
    const bytes = nextBlobLength(this.#bytes, chunk);
    this.#crc.writeUInt32LE(crc32(chunk));
    await this.#put(chunk);
    await this.#put(this.#crc);
    this.#bytes = bytes;
  }

  async seal(head: string): Promise<void> {
    checkBlobHead(head);
    const { files, file, folder, path, part, mayWrite } = this.#options;
    mayWrite();
    const said = Buffer.from(head);
    const footer = Buffer.alloc(FOOTER_BYTES);
    footer.writeUInt32LE(said.length, 0);
    footer.writeUInt32LE(crc32(said), 4);
    footer.writeUInt32LE(this.#bytes, 8);
    footer.writeUInt32LE(MAGIC, 12);
    await this.#put(Buffer.concat([said, footer]));
    try {
      await file.datasync();
      await this.#end();
      await files.rename(part, path);
      await files.syncFolder(folder);
    } catch (error) {
      await files.unlink(part).catch(() => undefined);
      throw isCode(error, 'ENOENT') ? blobRemoved() : deviceError(error);
    }
  }

  async discard(): Promise<void> {
    if (this.#isOver) return;
    await this.#end();
    await this.#options.files.unlink(this.#options.part).catch(() => undefined);
    await rmdir(this.#options.folder).catch(() => undefined);
  }

  async #end(): Promise<void> {
    this.#isOver = true;
    this.#options.onEnd();
    await this.#options.file.close().catch(() => undefined);
  }

  async #put(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) {
        const written = await this.#options.file.write(bytes.subarray(at), this.#position);
        at += written;
        this.#position += written;
      }
    } catch (error) {
      throw deviceError(error);
    }
  }
}

async function readFooter(file: LogFile, id: string): Promise<StoredBlob> {
  const size = await file.size();
  const footer = await readAt(file, size - FOOTER_BYTES, FOOTER_BYTES, id);
  const [headBytes, headCrc, bytes] = [footer.readUInt32LE(0), footer.readUInt32LE(4), footer.readUInt32LE(8)];
  const stride = BLOB_CHUNK_BYTES + CRC_BYTES;
  const stored = bytes + Math.ceil(bytes / BLOB_CHUNK_BYTES) * CRC_BYTES;
  if (footer.readUInt32LE(12) !== MAGIC || size !== stored + headBytes + FOOTER_BYTES)
    throw damagedBlob(id, 'its file has another length than it says');
  const head = await readAt(file, stored, headBytes, id);
  if (crc32(head) !== headCrc) throw damagedBlob(id, 'its head does not match its checksum');
  return {
    head: head.toString(),
    bytes,
    chunk: async (index) => {
      const length = Math.min(BLOB_CHUNK_BYTES, bytes - index * BLOB_CHUNK_BYTES);
      if (length <= 0) return undefined;
      const read = await readAt(file, index * stride, length + CRC_BYTES, id);
      const chunk = read.subarray(0, length);
      if (crc32(chunk) !== read.readUInt32LE(length))
        throw damagedBlob(id, `chunk ${index} does not match its checksum`);
      return chunk;
    },
    close: () => file.close().catch(() => undefined),
  };
}

async function readAt(file: LogFile, position: number, length: number, id: string): Promise<Buffer> {
  if (position < 0) throw damagedBlob(id, 'its file is too short');
  const into = Buffer.allocUnsafe(length);
  for (let at = 0; at < length;) {
    const read = await file.read(into.subarray(at), position + at).catch((error: unknown) => {
      throw deviceError(error);
    });
    if (read === 0) throw damagedBlob(id, 'its file is too short');
    at += read;
  }
  return into;
}

function unlessMissing(error: unknown): void {
  if (!isCode(error, 'ENOENT') && !isCode(error, 'ENOTDIR')) throw deviceError(error);
}

/** A device that fails concerns this blob only: nothing was promised of it, and the log finds out by itself. */
function deviceError(error: unknown): unknown {
  if (isBrokerError(error)) return error;
  if (isCode(error, 'ENOSPC')) return new BrokerError('disk-full', 'no room for this blob', { cause: error });
  if (isCode(error, 'EMFILE')) return new BrokerError('overloaded', 'too many files are open', { cause: error });
  return new BrokerError('failed', 'the device failed a blob', { cause: error });
}
