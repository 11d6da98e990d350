// The blobs of the memory engine.
import type { Clock } from '../../base/clock.ts';
import { SLICE_LIMITS, TurnSlice } from '../../base/turn-slice.ts';
import {
  blobRemoved,
  checkBlobHead,
  checkBlobName,
  nextBlobLength,
  type BlobEntry,
  type BlobOwner,
  type BlobOwnerPage,
  type BlobStore,
  type BlobWriter,
  type StoredBlob,
} from '../blobs.ts';
import { BrokerError } from '../errors.ts';
import { firstNames } from './first-names.ts';

/** Bytes of all blobs. */
export const MEMORY_BLOB_BYTES_MAX = 1024 * 1024 * 1024;

interface Blob {
  readonly chunks: Uint8Array[];
  bytes: number;
  /** Undefined until it is sealed. */
  head: string | undefined;
}

interface Owned extends BlobOwner {
  readonly blobs: Map<string, Blob>;
  changedAt: number;
}

export class MemoryBlobs implements BlobStore {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #owners = new Map<string, Owned>();
  #bytes = 0;

  constructor(clock: Clock, bytesMax = MEMORY_BLOB_BYTES_MAX) {
    this.#clock = clock;
    this.#bytesMax = bytesMax;
  }

  async begin(owner: BlobOwner, id: string): Promise<BlobWriter> {
    checkBlobName(owner, id);
    const key = keyOf(owner);
    const owned = this.#owners.get(key) ?? { ...owner, blobs: new Map<string, Blob>(), changedAt: 0 };
    if (owned.blobs.has(id)) throw new BrokerError('conflict', 'a blob has this id');
    const blob: Blob = { chunks: [], bytes: 0, head: undefined };
    owned.blobs.set(id, blob);
    owned.changedAt = this.#clock.now();
    this.#owners.set(key, owned);
    const mustExist = (): void => {
      if (this.#owners.get(key)?.blobs.get(id) !== blob) throw blobRemoved();
    };
    return {
      write: async (chunk) => {
        mustExist();
        const bytes = nextBlobLength(blob.bytes, chunk);
        if (this.#bytes + chunk.length > this.#bytesMax) throw new BrokerError('disk-full', 'no memory for this blob');
        this.#bytes += chunk.length;
        blob.bytes = bytes;
        blob.chunks.push(Uint8Array.from(chunk));
      },
      seal: async (head) => {
        mustExist();
        checkBlobHead(head);
        blob.head = head;
        owned.changedAt = this.#clock.now();
      },
      discard: async () => {
        if (blob.head === undefined && this.#owners.get(key)?.blobs.get(id) === blob) await this.remove(owner, id);
      },
    };
  }

  async open(owner: BlobOwner, id: string): Promise<StoredBlob | undefined> {
    const find = (): Blob | undefined => this.#owners.get(keyOf(owner))?.blobs.get(id);
    const blob = find();
    if (blob?.head === undefined) return undefined;
    return {
      head: blob.head,
      bytes: blob.bytes,
      chunk: async (index) => (find() === blob ? blob.chunks[index] : undefined),
      close: () => Promise.resolve(),
    };
  }

  async remove(owner: BlobOwner, id: string): Promise<void> {
    const key = keyOf(owner);
    const owned = this.#owners.get(key);
    const blob = owned?.blobs.get(id);
    if (owned === undefined || blob === undefined) return;
    owned.blobs.delete(id);
    this.#bytes -= blob.bytes;
    if (owned.blobs.size === 0) this.#owners.delete(key);
  }

  async removeAll(owner: BlobOwner): Promise<void> {
    for (const { id } of await this.list(owner)) await this.remove(owner, id);
  }

  async list(owner: BlobOwner): Promise<readonly BlobEntry[]> {
    const blobs = this.#owners.get(keyOf(owner))?.blobs ?? new Map<string, Blob>();
    return [...blobs].map(([id, { head }]) => ({ id, isSealed: head !== undefined }));
  }

  async owners(limit: number, after?: string): Promise<BlobOwnerPage> {
    const page = { after, count: limit + 1, matches: () => true };
    const keys = await firstNames(this.#owners.keys(), page, new TurnSlice(this.#clock, SLICE_LIMITS));
    const last = keys[limit - 1];
    const owners = keys.slice(0, limit).flatMap((key) => {
      const owned = this.#owners.get(key);
      return owned === undefined
        ? []
        : [{ topic: owned.topic, generation: owned.generation, changedAt: owned.changedAt }];
    });
    return { owners, ...(keys.length > limit && last !== undefined ? { after: last } : {}) };
  }

  keep(): Promise<void> {
    return Promise.resolve();
  }
}

function keyOf({ topic, generation }: BlobOwner): string {
  return `${topic} ${generation}`;
}
