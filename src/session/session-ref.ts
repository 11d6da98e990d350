// Which session, whose: ids as they come from outside, parsed once.
import { AGENT_NAME } from './agent-terms.ts';
import { SessionError } from './errors.ts';

export interface SessionRef {
  readonly tenant: string;
  readonly sessionId: string;
}

/** Who asks: the parsed claims of a token, as far as sessions care. */
export interface Principal {
  readonly tenant: string;
  /** The token's `sub`. */
  readonly user: string;
}

export const DEFAULT_TENANT = 'default';
const SESSION_ID = /^[A-Za-z0-9_-]{1,128}$/;
const TENANT = /^[A-Za-z0-9_-]{1,64}$/;
/** For ids that clients may choose: message, cursor. */
const CLIENT_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
const AGENT = new RegExp(AGENT_NAME);

export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}

export function isTenant(text: string): boolean {
  return TENANT.test(text);
}

export function isClientId(text: string): boolean {
  return CLIENT_ID.test(text);
}

export function isAgent(text: string): boolean {
  return AGENT.test(text);
}

/** @throws SessionError not-found: an id that cannot exist is a session that does not exist. */
export function sessionRef(tenant: string, sessionId: string): SessionRef {
  if (!SESSION_ID.test(sessionId)) throw new SessionError('not-found');
  return { tenant, sessionId };
}
