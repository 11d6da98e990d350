// Puts the bytes of attachments into the messages for a model, in the forms that OpenAI-compatible servers know: text,
// a picture or a file as a data URL, a sound as base64. The newest message has all of its attachments or the run fails;
// in older messages a note takes the place of what does not fit or cannot be read.
import { StringDecoder } from 'node:string_decoder';
import type { BlobStore } from '../../broker/blobs.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { openAttachmentOf, type OpenAttachment } from '../../session/attachments/open-attachment.ts';
import { isSessionError } from '../../session/errors.ts';
import { isText, UNNAMED, type AttachmentPart } from '../../session/events/attachment-part.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { AgentError } from '../agent-error.ts';
import type { ContentPart, ModelMessage } from '../provider.ts';

/** Bytes of all attachments of one request to a model. While a worker builds a request, it holds them several times. */
export const REQUEST_ATTACHMENT_BYTES_MAX = 32 * 1024 * 1024;

export interface AttachmentSource {
  readonly blobs: BlobStore;
  readonly ref: SessionRef;
  /** The time of the chat's birth. */
  readonly createdAt: string;
}

/** The newest message is the last one. @throws AgentError content-too-large, attachment-lost; BrokerError unavailable
 *  */
export async function withAttachments(
  source: AttachmentSource,
  messages: readonly ModelMessage[],
): Promise<ModelMessage[]> {
  const filled = [...messages];
  let left = REQUEST_ATTACHMENT_BYTES_MAX;
  for (let i = messages.length - 1; i >= 0; i -= 1) {
    const message = messages[i];
    if (message === undefined || !hasAttachments(message)) continue;
    const content: ContentPart[] = [];
    for (const part of message.content) {
      if (!isAttachment(part)) {
        content.push(part);
        continue;
      }
      const isNewest = i === messages.length - 1;
      left -= part.bytes;
      content.push(await partOf(source, part, { isNewest, fits: left >= 0 }));
    }
    filled[i] = { ...message, content: joined(content) };
  }
  return filled;
}

type Filled = ModelMessage & { readonly content: readonly ContentPart[] };

function hasAttachments(message: ModelMessage): message is Filled {
  return typeof message.content !== 'string' && message.content.some(isAttachment);
}

function isAttachment(part: ContentPart): part is ContentPart & AttachmentPart {
  return part.type === 'attachment';
}

async function partOf(
  source: AttachmentSource,
  part: AttachmentPart,
  { isNewest, fits }: { readonly isNewest: boolean; readonly fits: boolean },
): Promise<ContentPart> {
  if (!fits && isNewest)
    throw new AgentError(
      'content-too-large',
      `the attachments of a message have at most ${REQUEST_ATTACHMENT_BYTES_MAX} bytes together`,
    );
  if (!fits) return leftOut(part);
  try {
    const opened = await openAttachmentOf(source.blobs, source.ref, source, part.attachmentId);
    try {
      return await encode(opened);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (!isBrokerError(error, 'corrupt') && !isSessionError(error, 'attachment-not-found')) throw error;
    if (isNewest)
      throw new AgentError('attachment-lost', 'an attachment of this message cannot be read any more', {
        cause: error,
      });
    return leftOut(part);
  }
}

function leftOut({ name, mediaType, bytes }: AttachmentPart): ContentPart {
  return { type: 'text', text: `[${name} (${mediaType}, ${bytes} bytes) is left out here]` };
}

async function encode(opened: OpenAttachment): Promise<ContentPart> {
  const { name, mediaType } = opened;
  if (isText(mediaType)) {
    const text = await decode(opened, 'utf8');
    return { type: 'text', text: name === UNNAMED ? text : `${name}:\n\n${text}` };
  }
  const data = await decode(opened, 'base64');
  if (mediaType.startsWith('image/'))
    return { type: 'image_url', image_url: { url: `data:${mediaType};base64,${data}` } };
  const format = SOUNDS.get(mediaType);
  if (format !== undefined) return { type: 'input_audio', input_audio: { data, format } };
  return { type: 'file', file: { filename: name, file_data: `data:${mediaType};base64,${data}` } };
}

const SOUNDS: ReadonlyMap<string, string> = new Map([
  ['audio/wav', 'wav'],
  ['audio/x-wav', 'wav'],
  ['audio/mpeg', 'mp3'],
  ['audio/mp3', 'mp3'],
]);

/** A chunk may end inside a character, and inside three bytes of base64. */
async function decode(opened: OpenAttachment, encoding: 'utf8' | 'base64'): Promise<string> {
  const decoder = new StringDecoder(encoding);
  let text = '';
  for await (const piece of opened.read()) text += decoder.write(piece);
  return text + decoder.end();
}

/** Text only is one text: not every server takes a list of parts. */
function joined(content: readonly ContentPart[]): ModelMessage['content'] {
  const texts = content.flatMap((part) =>
    part.type === 'text' && typeof part['text'] === 'string' ? [part['text']] : [],
  );
  return texts.length === content.length ? texts.join('\n\n') : content;
}
