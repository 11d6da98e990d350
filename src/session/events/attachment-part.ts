// A content part that names an attachment of the chat in place of its bytes. Clients give its type and `attachmentId`;
// the other fields come from the attachment itself. [PROTOCOL §9]
import type { JsonObject, MessageContent } from './chat-event.ts';

export const ATTACHMENT = 'attachment';
/** The name of an attachment whose client gave none. */
export const UNNAMED = 'attachment';

/** What is known of an attachment without its bytes. */
export interface AttachmentInfo {
  readonly attachmentId: string;
  readonly name: string;
  /** Of the form `type/subtype`, in lower case. */
  readonly mediaType: string;
  readonly bytes: number;
  /** Of the bytes, in hexadecimal digits. */
  readonly sha256: string;
}

export interface AttachmentPart extends AttachmentInfo, JsonObject {
  readonly type: typeof ATTACHMENT;
}

/** A part that a client sent, or one of the log. */
export function isAttachmentPart(part: JsonObject): part is JsonObject & { readonly attachmentId: string } {
  return part['type'] === ATTACHMENT && typeof part['attachmentId'] === 'string';
}

export function attachmentIdsOf(content: MessageContent): readonly string[] {
  return typeof content === 'string'
    ? []
    : content.flatMap((part) => (isAttachmentPart(part) ? [part.attachmentId] : []));
}

/** The content by which a retry of a prompt is recognised. An upload that is repeated has another id and the same
 *  digest. */
export function digestible(content: MessageContent): MessageContent {
  if (typeof content === 'string') return content;
  return content.map((part) =>
    isAttachmentPart(part) && part['sha256'] !== undefined ? { ...part, attachmentId: '' } : part,
  );
}

const TEXTS: ReadonlySet<string> = new Set([
  'application/json',
  'application/xml',
  'application/yaml',
  'application/x-yaml',
  'application/toml',
  'application/javascript',
  'application/typescript',
  'application/sql',
  'application/x-ndjson',
  'application/x-sh',
]);

/** The model receives it as text. */
export function isText(mediaType: string): boolean {
  return mediaType.startsWith('text/') || TEXTS.has(mediaType);
}

/** What an attachment that is no text counts for in a budget of characters: some hundred tokens, as models charge for a
 *  picture. Its bytes have a limit of their own. */
export const MEDIA_CHARS = 4_000;

/** UTF-16 code units for which an attachment counts; at least what its text has. */
export function attachmentChars({ mediaType, bytes }: Pick<AttachmentInfo, 'mediaType' | 'bytes'>): number {
  return isText(mediaType) ? bytes : MEDIA_CHARS;
}
