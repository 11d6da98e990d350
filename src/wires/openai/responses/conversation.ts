// A conversation: the chat that responses continue, as OpenAI's clients make, read and change it.
import type { AskedMessage } from '../asked-prompt.ts';
import { secondsOf } from '../event-time.ts';
import { given, invalid, isFields, optionalFields, RefusedParameter, type Fields } from '../refused-parameter.ts';
import { readGivenItems } from './response-input.ts';

/** Of a session's metadata in the native protocol. */
const METADATA_KEYS_MAX = 64;
const KEY_CHARS_MAX = 128;

export interface ConversationObject {
  readonly id: string;
  readonly object: 'conversation';
  /** Seconds since 1970. */
  readonly created_at: number;
  readonly metadata: Fields;
}

export function conversationOf(sessionId: string, createdAt: string, metadata: Fields = {}): ConversationObject {
  return { id: sessionId, object: 'conversation', created_at: secondsOf(createdAt), metadata };
}

export interface NewConversation {
  readonly metadata?: Fields;
  readonly items?: readonly AskedMessage[];
}

/** @throws RefusedParameter */
export function readNewConversation(body: unknown): NewConversation {
  if (!isFields(body)) throw invalid('body', 'an object');
  const metadata = readMetadata(body);
  const items = readGivenItems(body);
  return { ...(metadata === undefined ? {} : { metadata }), ...(items === undefined ? {} : { items }) };
}

/** At least one. @throws RefusedParameter */
export function readNewItems(body: unknown): readonly AskedMessage[] {
  if (!isFields(body)) throw invalid('body', 'an object');
  const items = readGivenItems(body);
  if (items === undefined) throw invalid('items', 'a list that is not empty');
  return items;
}

/** @throws RefusedParameter */
export function readConversationUpdate(body: unknown): Fields {
  if (!isFields(body)) throw invalid('body', 'an object');
  const metadata = readMetadata(body);
  if (metadata === undefined) throw new RefusedParameter('metadata', "'metadata' is what an update changes");
  return metadata;
}

function readMetadata(body: Fields): Fields | undefined {
  const metadata = optionalFields(body, 'metadata');
  const keys = Object.keys(metadata ?? {});
  if (keys.length > METADATA_KEYS_MAX || keys.some((key) => key.length > KEY_CHARS_MAX))
    throw invalid('metadata', `an object of at most ${METADATA_KEYS_MAX} keys of at most ${KEY_CHARS_MAX} characters`);
  return given(body, 'metadata') === undefined ? undefined : metadata;
}
