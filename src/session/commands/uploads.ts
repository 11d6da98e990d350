// Uploads of a chat that no prompt names yet: what reserves one, what takes it and what ends it. Pure. A reservation is
// in the chat before the first byte is stored, so that nothing is stored of which the chat does not know.
import { attachmentIdsOf } from '../events/attachment-part.ts';
import type { AttachmentDropped, AttachmentReserved, MessageContent } from '../events/chat-event.ts';
import { SessionError } from '../errors.ts';

/** Uploads of one chat that no prompt names yet. */
export const UPLOADS_MAX = 32;

export interface Upload {
  readonly id: string;
  readonly bytes: number;
  /** When it was reserved. */
  readonly at: string;
  /** It may not be named any more: its bytes are being removed. */
  readonly isEnding?: true;
}

/** The attachments of a chat, as far as its commands depend on them. */
export interface Attached {
  /** Of all attachments that the chat holds or has reserved. */
  readonly bytes: number;
  /** Oldest first. */
  readonly uploads: readonly Upload[];
}

const NONE: Attached = { bytes: 0, uploads: [] };

/** @throws SessionError too-many-uploads, session-storage-full */
export function checkRoom(attached: Attached = NONE, bytes: number, bytesMax: number): void {
  if (attached.bytes + bytes > bytesMax) throw new SessionError('session-storage-full', { limit: bytesMax });
  if (attached.uploads.length >= UPLOADS_MAX) throw new SessionError('too-many-uploads', { limit: UPLOADS_MAX });
}

/** An upload that a prompt may name. */
export function findUpload(attached: Attached = NONE, id: string): Upload | undefined {
  return attached.uploads.find((upload) => upload.id === id);
}

export function reserveUpload(
  attached: Attached = NONE,
  { attachmentId: id, bytes, createdAt: at }: AttachmentReserved,
): Attached {
  return { bytes: attached.bytes + bytes, uploads: [...attached.uploads, { id, bytes, at }] };
}

export function dropUpload(attached: Attached = NONE, { attachmentId, isRemoved }: AttachmentDropped): Attached {
  const upload = findUpload(attached, attachmentId);
  if (upload === undefined) return attached;
  const others = attached.uploads.filter((one) => one !== upload);
  return isRemoved === true
    ? { bytes: attached.bytes - upload.bytes, uploads: others }
    : { ...attached, uploads: [...others, { ...upload, isEnding: true }] };
}

/** These uploads can still be named. */
export function holdsUploads(attached: Attached = NONE, ids: readonly string[]): boolean {
  return ids.every((id) => attached.uploads.some((upload) => upload.id === id && upload.isEnding !== true));
}

/** The prompt holds these attachments from now on. */
export function takeUploads(attached: Attached | undefined, content: MessageContent): Attached | undefined {
  if (attached === undefined || attached.uploads.length === 0) return attached;
  const ids = attachmentIdsOf(content);
  return ids.length === 0 ? attached : { ...attached, uploads: attached.uploads.filter(({ id }) => !ids.includes(id)) };
}
