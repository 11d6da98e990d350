// The id and the fields of a session that a request creates or changes, within their bounds. [PROTOCOL §3]
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
