// Opens an attachment of a chat, and reads it chunk by chunk. Each chunk has a checksum of its own; a reader of the
// whole attachment also gets the comparison with the digest that the client gave or received. Who may read it is
// decided before (attachments.ts).
import { createHash } from 'node:crypto';
import { BLOB_CHUNK_BYTES, damagedBlob, type BlobOwner, type BlobStore, type StoredBlob } from '../../broker/blobs.ts';
import type { CommandState } from '../commands/command-state.ts';
import { SessionError } from '../errors.ts';
import type { AttachmentInfo } from '../events/attachment-part.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic } from '../topic-names.ts';

/** The bytes of an attachment. The caller must end it with `close`. */
export interface OpenAttachment extends AttachmentInfo {
  /** The bytes from `from` to `to`, inclusive, in order. The whole attachment is compared with its digest, and the last
   *  piece is withheld if it differs. @throws BrokerError corrupt; SessionError attachment-not-found: it was removed
   *  meanwhile */
  read(from?: number, to?: number): AsyncGenerator<Uint8Array, void, undefined>;
  close(): Promise<void>;
}

const ATTACHMENT_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** @throws SessionError attachment-not-found; BrokerError corrupt, unavailable */
export async function openAttachmentOf(
  blobs: BlobStore,
  ref: SessionRef,
  chat: Pick<CommandState, 'createdAt'>,
  attachmentId: string,
): Promise<OpenAttachment> {
  const blob = ATTACHMENT_ID.test(attachmentId) ? await blobs.open(ownerOf(ref, chat), attachmentId) : undefined;
  if (blob === undefined) throw new SessionError('attachment-not-found');
  const info = JSON.parse(blob.head) as AttachmentInfo;
  return {
    ...info,
    read: (from = 0, to = info.bytes - 1) => readBlob(blob, info, from, to),
    close: () => blob.close(),
  };
}

/** Of the chat that was born at that time: another chat under the same id never has its blobs. */
export function ownerOf(ref: SessionRef, { createdAt }: Pick<CommandState, 'createdAt'>): BlobOwner {
  return { topic: chatTopic(ref), generation: generationOf(createdAt) };
}

export function generationOf(createdAt: string): string {
  return Date.parse(createdAt).toString(36);
}

/** @throws BrokerError corrupt; SessionError attachment-not-found */
async function* readBlob(
  blob: StoredBlob,
  { attachmentId, bytes, sha256 }: AttachmentInfo,
  from: number,
  to: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = from === 0 && to === bytes - 1 ? createHash('sha256') : undefined;
  for (let index = Math.floor(from / BLOB_CHUNK_BYTES); index * BLOB_CHUNK_BYTES <= to; index += 1) {
    const chunk = await blob.chunk(index);
    if (chunk === undefined) throw new SessionError('attachment-not-found');
    const start = index * BLOB_CHUNK_BYTES;
    hash?.update(chunk);
    const isLast = start + chunk.length > to;
    if (isLast && hash !== undefined && hash.digest('hex') !== sha256)
      throw damagedBlob(attachmentId, 'its bytes do not match its digest');
    yield chunk.subarray(Math.max(0, from - start), Math.min(chunk.length, to + 1 - start));
  }
}
