// Names a session and its principal. Parses and checks the ids that come from outside.
import { createHash } from 'node:crypto';
import { AGENT_NAME } from './agent-limits.ts';
import { SessionError } from './errors.ts';

export interface SessionRef {
  readonly tenant: string;
  readonly sessionId: string;
}

/** The tenant and the user of a request, from the claims of its token. Sessions need no other claims. */
export interface Principal {
  readonly tenant: string;
  /** The token's `sub`. */
  readonly user: string;
}

export const DEFAULT_TENANT = 'default';
const SESSION_ID = /^[A-Za-z0-9_-]{1,128}$/;
const TENANT = /^[A-Za-z0-9_-]{1,64}$/;
const AGENT = new RegExp(AGENT_NAME);

export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}

export function isTenant(text: string): boolean {
  return TENANT.test(text);
}

export function isAgent(text: string): boolean {
  return AGENT.test(text);
}

/** @throws SessionError not-found: an id that cannot exist is a session that does not exist. */
export function sessionRef(tenant: string, sessionId: string): SessionRef {
  if (!SESSION_ID.test(sessionId)) throw new SessionError('not-found');
  return { tenant, sessionId };
}

/** Separates the digest of a user from the id that this user chose. No id from outside contains it, so no such id names
 *  a session that belongs to one user. */
const OWN = ':';
/** 132 bits: two users practically never share a digest. */
const USER_DIGEST_CHARS = 22;

/** The session with this id that belongs to this user alone. Another user with the same id has another session.
 *  @throws SessionError not-found */
export function ownRef({ tenant, user }: Principal, sessionId: string): SessionRef {
  return { tenant, sessionId: `${userDigest(user)}${OWN}${sessionRef(tenant, sessionId).sessionId}` };
}

/** The session id that clients use. It lacks the user's digest that `ownRef` adds in front of it. */
export function idOf({ sessionId }: SessionRef): string {
  return sessionId.slice(sessionId.indexOf(OWN) + 1);
}

/** The session of the tenant under the id that clients use, without the user's digest: all its users share it. */
export function sharedRef(ref: SessionRef): SessionRef {
  return { tenant: ref.tenant, sessionId: idOf(ref) };
}

/** A user's name may be any string, so topic names contain a digest of it. */
export function userDigest(user: string): string {
  return createHash('sha256').update(user).digest('base64url').slice(0, USER_DIGEST_CHARS);
}
