// The blobs of the engine on Redis. Scripts take and return text, so a chunk is `<crc> <bytes> u<text>` if its bytes
// are UTF-8, and `<crc> <bytes> b<base64>` otherwise.
import { isUtf8 } from 'node:buffer';
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
import { BrokerError } from '../../errors.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import type { RedisCommands, RedisReply } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import {
  BEGIN_BLOB,
  BLOB_OWNERS,
  KEEP_BLOBS,
  LIST_BLOBS,
  READ_BLOB,
  REMOVE_BLOB,
  SEAL_BLOB,
  WRITE_BLOB,
} from './blob-lua.ts';

/** The number of the blob's bytes, and what the blob says about itself, in the field `head`. */
const HEAD = /^(\d+) ([^]*)$/;
const CHUNK = /^(\d+) (\d+) ([ub])/;

export class RedisBlobs implements BlobStore {
  readonly #commands: RedisCommands;

  constructor(commands: RedisCommands) {
    this.#commands = commands;
  }

  async begin(owner: BlobOwner, id: string, keepMs?: number): Promise<BlobWriter> {
    checkBlobName(owner, id);
    const run = this.#runner(owner);
    if ((await run(BEGIN_BLOB, id, ttlOf(keepMs))) !== 1) throw new BrokerError('conflict', 'a blob has this id');
    let [bytes, chunks, isSealed] = [0, 0, false];
    return {
      write: async (chunk) => {
        const next = nextBlobLength(bytes, chunk);
        if ((await run(WRITE_BLOB, id, chunks, encodeChunk(chunk))) !== 1) throw blobRemoved();
        bytes = next;
        chunks += 1;
      },
      seal: async (head) => {
        checkBlobHead(head);
        if ((await run(SEAL_BLOB, id, chunks, `${bytes} ${head}`)) !== 1) throw blobRemoved();
        isSealed = true;
      },
      discard: async () => {
        if (!isSealed) await this.remove(owner, id).catch(() => undefined);
      },
    };
  }

  async open(owner: BlobOwner, id: string): Promise<StoredBlob | undefined> {
    checkBlobName(owner, id);
    const run = this.#runner(owner);
    const found = await run(READ_BLOB, id, 'head');
    if (found === null) return undefined;
    const [, length, head] = HEAD.exec(String(found)) ?? [];
    if (length === undefined || head === undefined) throw wrongReply(READ_BLOB.name);
    const bytes = Number(length);
    return {
      head,
      bytes,
      chunk: async (index) => {
        const size = Math.min(BLOB_CHUNK_BYTES, bytes - index * BLOB_CHUNK_BYTES);
        if (size <= 0) return undefined;
        const text = await run(READ_BLOB, id, index);
        if (typeof text === 'string') return decodeChunk(text, size, id, index);
        if ((await run(READ_BLOB, id, 'head')) === null) return undefined;
        throw damagedBlob(id, `chunk ${index} is missing`);
      },
      close: () => Promise.resolve(),
    };
  }

  async remove(owner: BlobOwner, id: string): Promise<void> {
    checkBlobName(owner, id);
    await this.#runner(owner)(REMOVE_BLOB, id);
  }

  async removeAll(owner: BlobOwner): Promise<void> {
    await this.#runner(owner)(REMOVE_BLOB);
  }

  async list(owner: BlobOwner): Promise<readonly BlobEntry[]> {
    const found = texts(await this.#runner(owner)(LIST_BLOBS));
    return Array.from({ length: found.length / 2 }, (_, i) => ({
      id: found[2 * i] ?? '',
      isSealed: found[2 * i + 1] === '1',
    }));
  }

  async owners(limit: number, after = '0/'): Promise<BlobOwnerPage> {
    const { keys } = this.#commands;
    const slash = after.indexOf('/');
    let behind = after.slice(slash + 1);
    const owners: BlobOwnerEntry[] = [];
    for (let partition = Number(after.slice(0, slash)); partition < keys.partitions; partition += 1) {
      const found = texts(await this.#commands.run(BLOB_OWNERS, partition, [behind, limit - owners.length]));
      for (let i = 0; i < found.length; i += 2) owners.push(parseOwner(found[i] ?? '', Number(found[i + 1])));
      if (owners.length === limit) return { owners, after: `${partition}/${found.at(-2) ?? behind}` };
      behind = '';
    }
    return { owners };
  }

  async keep(owner: BlobOwner, keepMs: number | undefined): Promise<void> {
    await this.#runner(owner)(KEEP_BLOBS, ttlOf(keepMs));
  }

  #runner(owner: BlobOwner) {
    const partition = this.#commands.keys.partitionOf(owner.topic);
    const name = `${owner.topic}~${owner.generation}`;
    return (script: typeof READ_BLOB, ...args: readonly (string | number)[]): Promise<RedisReply> =>
      this.#commands.run(script, partition, [name, ...args]);
  }
}

function ttlOf(keepMs: number | undefined): string {
  return keepMs === undefined ? '' : String(Math.ceil(keepMs));
}

function encodeChunk(chunk: Uint8Array): string {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  const isText = isUtf8(bytes);
  return `${crc32(bytes)} ${bytes.length} ${isText ? 'u' : 'b'}${bytes.toString(isText ? 'utf8' : 'base64')}`;
}

function decodeChunk(text: string, size: number, id: string, index: number): Buffer {
  const [start = '', crc, length, kind] = CHUNK.exec(text) ?? [];
  const bytes = Buffer.from(text.slice(start.length), kind === 'u' ? 'utf8' : 'base64');
  if (kind === undefined || Number(length) !== size || bytes.length !== size || crc32(bytes) !== Number(crc))
    throw damagedBlob(id, `chunk ${index} does not match its checksum`);
  return bytes;
}

function texts(reply: RedisReply): readonly string[] {
  if (!Array.isArray(reply)) throw wrongReply('a list of blobs');
  return reply.map(String);
}

function parseOwner(name: string, changedAt: number): BlobOwnerEntry {
  const end = name.lastIndexOf('~');
  return { topic: parseLiteTopicName(name.slice(0, end)), generation: name.slice(end + 1), changedAt };
}
