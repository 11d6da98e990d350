// What a request says of a session that it creates or changes, within its bounds: its id, its fields and its history.
// [PROTOCOL §3]
import {
  findGivenFault,
  GIVEN_MESSAGE_BYTES_MAX,
  HISTORY_BYTES_MAX,
  type GivenMessage,
} from '../../session/events/given-message.ts';
import { SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS, type NewSession } from '../../session/sessions.ts';
import type { Identity } from '../auth/identity.ts';
import { GatewayError } from '../gateway-error.ts';

/** UTF-8 bytes of a session's metadata as JSON. */
export const METADATA_BYTES_MAX = 16 * 1024;

/** The id of a session that the caller did not name. @throws GatewayError forbidden with a token for given sessions */
export function freshId(identity: Identity, newId: () => string): string {
  if (identity.sessions !== undefined)
    throw new GatewayError('forbidden', { message: 'the token is for given sessions: name one of them' });
  return newId();
}

/** The fields that were given. A `ttlMs` outside of its bounds becomes the nearer bound.
 *  @throws GatewayError too-large */
export function newSession({ title, metadata, ttlMs, isListed }: NewSession): NewSession {
  if (metadata !== undefined && Buffer.byteLength(JSON.stringify(metadata)) > METADATA_BYTES_MAX)
    throw new GatewayError('too-large', { message: `metadata has at most ${METADATA_BYTES_MAX} bytes` });
  return {
    ...(title === undefined ? {} : { title }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(ttlMs === undefined ? {} : { ttlMs: Math.min(Math.max(ttlMs, SESSION_TTL_MIN_MS), SESSION_TTL_MAX_MS) }),
    ...(isListed === undefined ? {} : { isListed }),
  };
}

/** @throws GatewayError invalid-request, too-large */
export function checkHistory(history: readonly GivenMessage[]): readonly GivenMessage[] {
  let bytes = 0;
  history.forEach((message, i) => {
    const fault = findGivenFault(message);
    if (fault !== undefined) throw new GatewayError('invalid-request', { message: `history/${i}: ${fault}` });
    const size = Buffer.byteLength(JSON.stringify(message));
    if (size > GIVEN_MESSAGE_BYTES_MAX)
      throw new GatewayError('too-large', {
        message: `history/${i} has more than ${GIVEN_MESSAGE_BYTES_MAX} bytes`,
      });
    bytes += size;
  });
  if (bytes > HISTORY_BYTES_MAX)
    throw new GatewayError('too-large', { message: `a history has at most ${HISTORY_BYTES_MAX} bytes` });
  return history;
}
