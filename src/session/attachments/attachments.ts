// The attachments of chats: stores an upload, gives its bytes back to the chat's owner and to workers, and resolves
// what a prompt names. The bytes are blobs beside the log (broker/blobs.ts). The chat itself says which uploads it
// knows (commands/uploads.ts), and a prompt that is stored keeps its attachments until the chat ends.
import { createHash } from 'node:crypto';
import { BLOB_CHUNK_BYTES, type BlobOwner, type BlobStore, type BlobWriter } from '../../broker/blobs.ts';
import { isoTime, type Clock } from '../../base/clock.ts';
import type { CommandLog, LoadedState } from '../commands/command-log.ts';
import { PENDING_RUN_TTL_MS, topicTtl } from '../commands/chat-ttl.ts';
import type { CommandState } from '../commands/command-state.ts';
import { foldDrafts } from '../commands/decisions.ts';
import { checkRoom, findUpload } from '../commands/uploads.ts';
import { SessionError } from '../errors.ts';
import { ATTACHMENT, isAttachmentPart, type AttachmentInfo, type AttachmentPart } from '../events/attachment-part.ts';
import type { MessageContent } from '../events/chat-event.ts';
import { loadOwned, requireOwner } from '../require-owner.ts';
import { openAttachmentOf, ownerOf, type OpenAttachment } from './open-attachment.ts';
import type { Principal, SessionRef } from '../session-ref.ts';

/** Bytes of one attachment, unless the configuration names another number. */
export const ATTACHMENT_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of the attachments of one chat, likewise. */
export const SESSION_ATTACHMENT_BYTES_MAX = 256 * 1024 * 1024;
/** An upload that no prompt named for this long is removed. */
export const UPLOAD_TTL_MS = 60 * 60 * 1000;
/** Attachments that one message names. */
export const MESSAGE_ATTACHMENTS_MAX = 32;
/** An engine that ends blobs by itself does so this long after the chat's own end: a chat that is held longer than its
 *  time keeps its attachments. */
const KEEP_MARGIN_MS = 24 * 60 * 60 * 1000;

export interface AttachmentLimits {
  readonly sessionBytesMax: number;
}

export interface UploadRequest extends Pick<AttachmentInfo, 'name' | 'mediaType' | 'bytes'> {
  /** What the client says that the digest is. */
  readonly sha256?: string | undefined;
}

/** The content of a prompt with what the attachments say of themselves, and the uploads that the prompt must take. */
export interface ResolvedContent {
  readonly content: MessageContent;
  readonly uploads: readonly string[];
}

export class Attachments {
  readonly #blobs: BlobStore;
  readonly #log: CommandLog;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #limits: AttachmentLimits;

  /** `newId`: at least 128 random bits in `[A-Za-z0-9_-]`, at most 64 characters. */
  constructor(blobs: BlobStore, log: CommandLog, clock: Clock, newId: () => string, limits: AttachmentLimits) {
    this.#blobs = blobs;
    this.#log = log;
    this.#clock = clock;
    this.#newId = newId;
    this.#limits = limits;
  }

  /** Stores an attachment of a chat that exists. `pieces`: its bytes, read as fast as they can be stored.
   *  @throws SessionError not-found, too-many-uploads, session-storage-full, upload-incomplete, digest-mismatch;
   *  BrokerError disk-full; and what `pieces` throws */
  async upload(
    principal: Principal,
    ref: SessionRef,
    request: UploadRequest,
    pieces: AsyncIterable<Uint8Array>,
  ): Promise<AttachmentInfo> {
    const attachmentId = this.#newId();
    await this.endOverdue(ref, (await loadOwned(this.#log, principal, ref)).state);
    const state = await this.#reserve(principal, ref, attachmentId, request.bytes);
    const owner = ownerOf(ref, state);
    let writer: BlobWriter | undefined;
    try {
      writer = await this.#blobs.begin(owner, attachmentId, keepTimeOf(state));
      const sha256 = await writePieces(writer, pieces, request);
      const { name, mediaType, bytes } = request;
      const info = { attachmentId, name, mediaType, bytes, sha256 };
      await writer.seal(JSON.stringify(info));
      return info;
    } catch (error) {
      await writer?.discard();
      await this.#undo(ref, owner, attachmentId);
      throw error;
    }
  }

  /** @throws SessionError not-found, attachment-not-found */
  async open(principal: Principal, ref: SessionRef, attachmentId: string): Promise<OpenAttachment> {
    const { state } = await loadOwned(this.#log, principal, ref);
    if (findUpload(state.attached, attachmentId)?.isEnding === true) throw new SessionError('attachment-not-found');
    return openAttachmentOf(this.#blobs, ref, state, attachmentId);
  }

  /** Fills in what the named attachments say of themselves. @throws SessionError not-found, attachment-not-found,
   *  too-many-attachments */
  async resolve(principal: Principal, ref: SessionRef, content: MessageContent): Promise<ResolvedContent> {
    if (typeof content === 'string' || !content.some(({ type }) => type === ATTACHMENT))
      return { content, uploads: [] };
    if (content.filter(isAttachmentPart).length > MESSAGE_ATTACHMENTS_MAX)
      throw new SessionError('too-many-attachments', { limit: MESSAGE_ATTACHMENTS_MAX });
    const loaded = await this.#log.load(ref);
    // The prompt would make the chat, and a chat that does not exist has no attachments.
    if (loaded === undefined) throw new SessionError('attachment-not-found');
    const { state } = requireOwner(principal, loaded);
    const parts: (typeof content)[number][] = [];
    const uploads = new Set<string>();
    for (const part of content) {
      if (part['type'] !== ATTACHMENT) {
        parts.push(part);
        continue;
      }
      const id = isAttachmentPart(part) ? part.attachmentId : '';
      const upload = findUpload(state.attached, id);
      if (upload?.isEnding === true) throw new SessionError('attachment-not-found');
      if (upload !== undefined) uploads.add(id);
      parts.push(await this.#partOf(ref, state, id));
    }
    return { content: parts, uploads: [...uploads] };
  }

  /** Removes an upload that no prompt names. @throws SessionError not-found, attachment-not-found, attachment-in-use */
  async remove(principal: Principal, ref: SessionRef, attachmentId: string): Promise<void> {
    const loaded = await loadOwned(this.#log, principal, ref);
    if (findUpload(loaded.state.attached, attachmentId) === undefined) {
      await (await openAttachmentOf(this.#blobs, ref, loaded.state, attachmentId)).close();
      throw new SessionError('attachment-in-use');
    }
    await this.#end(ref, loaded.state, attachmentId);
  }

  /** Ends the uploads that no prompt named in time, and those whose removal a crash cut short. */
  async endOverdue(ref: SessionRef, state: CommandState): Promise<void> {
    const now = this.#clock.now();
    for (const { id, at, isEnding } of state.attached?.uploads ?? [])
      if (isEnding === true || now - Date.parse(at) >= UPLOAD_TTL_MS) await this.#end(ref, state, id);
  }

  /** Removes everything that a chat had stored. Call it when the chat is gone. */
  async removeAll(ref: SessionRef, state: Pick<CommandState, 'createdAt'>): Promise<void> {
    await this.#blobs.removeAll(ownerOf(ref, state));
  }

  /** Ends an upload that no prompt names, unless a prompt takes it first. In an order in which no prompt can name what
   *  is being removed, and a crash leaves a step that a sweep repeats. */
  async #end(ref: SessionRef, state: Pick<CommandState, 'createdAt'>, attachmentId: string): Promise<void> {
    if (!(await this.#drop(ref, attachmentId, false))) return;
    await this.#blobs.remove(ownerOf(ref, state), attachmentId);
    await this.#drop(ref, attachmentId, true);
  }

  /** If a step fails, the reservation stays until its own time is over, and a sweep ends it. */
  async #undo(ref: SessionRef, owner: BlobOwner, attachmentId: string): Promise<void> {
    try {
      await this.#blobs.remove(owner, attachmentId);
      await this.#drop(ref, attachmentId, true);
    } catch {
      // The caller throws the error of the upload.
    }
  }

  async #partOf(ref: SessionRef, state: CommandState, id: string): Promise<AttachmentPart> {
    const opened = await openAttachmentOf(this.#blobs, ref, state, id);
    await opened.close();
    const { attachmentId, name, mediaType, bytes, sha256 } = opened;
    return { type: ATTACHMENT, attachmentId, name, mediaType, bytes, sha256 };
  }

  #reserve(principal: Principal, ref: SessionRef, attachmentId: string, bytes: number): Promise<CommandState> {
    const createdAt = isoTime(this.#clock);
    return this.#log.transact<CommandState>(ref, (loaded) => {
      const { state } = requireOwner(principal, loaded);
      checkRoom(state.attached, bytes, this.#limits.sessionBytesMax);
      const event = { type: 'attachment.reserved', attachmentId, bytes, createdAt } as const;
      return { ...foldDrafts(state, [{ event }]), answer: () => state };
    });
  }

  /** False if the chat has no such upload, because a prompt names it or it has ended. */
  #drop(ref: SessionRef, attachmentId: string, isRemoved: boolean): Promise<boolean> {
    return this.#log.transact<boolean>(ref, (loaded: LoadedState | undefined) => {
      const upload = loaded === undefined ? undefined : findUpload(loaded.state.attached, attachmentId);
      if (loaded === undefined || upload === undefined) return { unchanged: false };
      if (upload.isEnding === true && !isRemoved) return { unchanged: true };
      const event = { type: 'attachment.dropped', attachmentId, ...(isRemoved ? { isRemoved } : {}) } as const;
      return { ...foldDrafts(loaded.state, [{ event }]), answer: () => true };
    });
  }
}

/** How long an engine must keep the blobs of a chat that is not used any more, in ms. */
export function keepTimeOf(state: CommandState): number {
  return Math.max(topicTtl(state), PENDING_RUN_TTL_MS) + KEEP_MARGIN_MS;
}

/** Cuts the pieces into chunks. Returns the digest. @throws SessionError upload-incomplete, digest-mismatch */
async function writePieces(
  writer: BlobWriter,
  pieces: AsyncIterable<Uint8Array>,
  { bytes, sha256 }: UploadRequest,
): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(Math.min(BLOB_CHUNK_BYTES, bytes));
  let [filled, total] = [0, 0];
  for await (const piece of pieces) {
    total += piece.length;
    if (total > bytes) throw new SessionError('upload-incomplete');
    for (let at = 0; at < piece.length;) {
      const taken = Math.min(chunk.length - filled, piece.length - at);
      chunk.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < chunk.length) continue;
      hash.update(chunk);
      await writer.write(chunk);
      filled = 0;
    }
  }
  if (total !== bytes) throw new SessionError('upload-incomplete');
  if (filled > 0) {
    hash.update(chunk.subarray(0, filled));
    await writer.write(chunk.subarray(0, filled));
  }
  const digest = hash.digest('hex');
  if (sha256 !== undefined && sha256 !== digest) throw new SessionError('digest-mismatch');
  return digest;
}
