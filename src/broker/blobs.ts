// Blobs: bytes beside the log, for contents that no record may hold (files, images, prompts of megabytes). A blob
// belongs to a topic and shares its place in a clustered engine, but no engine ends it with the topic: the caller
// removes it, and finds what was left behind through `owners`. `test/broker/contract/blobs.ts` tests each promise on
// every engine.
//
// Promises
//  - A blob can be opened only once `seal` has made it as durable as an acknowledged append. What a crash leaves of a
//    blob that was not sealed cannot be opened.
//  - A blob does not change. `chunk` returns exactly the bytes that were written, or fails with `corrupt`.
//  - After `remove` or `removeAll` has resolved, the engine's storage holds no byte of the blob.
//  - An engine holds one chunk in memory for each blob that is written or read, never a whole blob.
import { BrokerError } from './errors.ts';
import type { LiteTopicName } from './lite-topic.ts';

/** Bytes of every chunk but the last, which may be shorter. */
export const BLOB_CHUNK_BYTES = 256 * 1024;
/** Bytes of one blob. */
export const BLOB_BYTES_MAX = 256 * 1024 * 1024;
/** UTF-16 code units of what a blob's writer says about it. */
export const BLOB_HEAD_CHARS_MAX = 8 * 1024;

const ID = /^[A-Za-z0-9_-]{1,64}$/;
const GENERATION = /^[a-z0-9]{1,32}$/;

/** Whose blobs: a topic, and the caller's name for one existence of it, `[a-z0-9]{1,32}`. The epoch cannot be that
 *  name, because it also changes while the topic exists. */
export interface BlobOwner {
  readonly topic: LiteTopicName;
  readonly generation: string;
}

export interface BlobWriter {
  /** The next BLOB_CHUNK_BYTES bytes, fewer only in the last call. The caller may reuse the array afterwards.
   *  @throws BrokerError disk-full, unavailable, failed, epoch-changed (the blob was removed meanwhile), closed */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the blob durable, and then visible. `head`: what `open` returns of it. @throws as `write` */
  seal(head: string): Promise<void>;
  /** Ends a blob that is not sealed, and frees what it takes. Never rejects; no effect after `seal`. */
  discard(): Promise<void>;
}

export interface StoredBlob {
  readonly head: string;
  readonly bytes: number;
  /** Undefined if the blob was removed meanwhile. @throws BrokerError corrupt, unavailable, closed */
  chunk(index: number): Promise<Uint8Array | undefined>;
  /** Gives back what reading takes. Never rejects. */
  close(): Promise<void>;
}

export interface BlobEntry {
  readonly id: string;
  readonly isSealed: boolean;
}

export interface BlobOwnerEntry extends BlobOwner {
  /** When a blob of it was begun or sealed last, ms since 1970, by the clock of the storage. */
  readonly changedAt: number;
}

export interface BlobOwnerPage {
  readonly owners: readonly BlobOwnerEntry[];
  /** Gets the next page. Absent on the last page. */
  readonly after?: string;
}

export interface BlobStore {
  /** `id`: `[A-Za-z0-9_-]{1,64}`. `keepMs`: an engine whose storage ends things by itself may end the blob after this
   *  time; undefined for never.
   *  @throws BrokerError conflict (the id is taken), disk-full, invalid-append, unavailable */
  begin(owner: BlobOwner, id: string, keepMs?: number): Promise<BlobWriter>;
  /** Undefined if there is no such sealed blob. @throws BrokerError corrupt, unavailable, closed */
  open(owner: BlobOwner, id: string): Promise<StoredBlob | undefined>;
  /** Also a blob that is being written. No effect if there is none. */
  remove(owner: BlobOwner, id: string): Promise<void>;
  removeAll(owner: BlobOwner): Promise<void>;
  /** The blobs of an owner, sealed or not. */
  list(owner: BlobOwner): Promise<readonly BlobEntry[]>;
  /** Everything that owns blobs, page by page. Owners that come or go meanwhile may be missing. `limit`: the most on
   *  one page, from 1. */
  owners(limit: number, after?: string): Promise<BlobOwnerPage>;
  /** Begins the time of `begin` again, for all blobs of an owner. */
  keep(owner: BlobOwner, keepMs: number | undefined): Promise<void>;
}

export interface BlobKeeping {
  readonly blobs: BlobStore;
}

/** @throws BrokerError invalid-append */
export function checkBlobName({ generation }: BlobOwner, id: string): void {
  if (!ID.test(id) || !GENERATION.test(generation)) throw new BrokerError('invalid-append', 'not a name of a blob');
}

/** The bytes of all chunks so far, after the next. @throws BrokerError invalid-append, too-large */
export function nextBlobLength(bytes: number, chunk: Uint8Array): number {
  if (bytes % BLOB_CHUNK_BYTES !== 0 || chunk.length === 0 || chunk.length > BLOB_CHUNK_BYTES)
    throw new BrokerError('invalid-append', 'only the last chunk of a blob may be short, and none is empty');
  if (bytes + chunk.length > BLOB_BYTES_MAX)
    throw new BrokerError('too-large', `a blob has at most ${BLOB_BYTES_MAX} bytes`);
  return bytes + chunk.length;
}

/** @throws BrokerError invalid-append */
export function checkBlobHead(head: string): void {
  if (head.length > BLOB_HEAD_CHARS_MAX)
    throw new BrokerError('invalid-append', `a blob says at most ${BLOB_HEAD_CHARS_MAX} characters about itself`);
}

export function blobRemoved(): BrokerError {
  return new BrokerError('epoch-changed', 'the blob was removed while it was written');
}

export function damagedBlob(id: string, what: string): BrokerError {
  return new BrokerError('corrupt', `blob ${id}: ${what}`);
}
