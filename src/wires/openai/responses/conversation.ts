// A conversation: the chat that responses continue, as OpenAI's clients make, read and change it.
import { secondsOf } from '../event-time.ts';
import {
  given,
  invalid,
  isFields,
  optionalFields,
  RefusedParameter,
  refuseUnlessNeutral,
  type Fields,
} from '../refused-parameter.ts';

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

/** The metadata of a new conversation. @throws RefusedParameter */
export function readNewConversation(body: unknown): Fields | undefined {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, { items: [[]] });
  return readMetadata(body);
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
