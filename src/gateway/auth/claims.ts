// Checks the claims of a token, one by one. Pure. JWT libraries differ in what they accept (no exp, exp as text, a
// foreign audience), so every rule is in this file and holds for every algorithm. `jwt-signature.ts` checks the
// signature. [PROTOCOL §2]
import type { RunPriority } from '../../session/events/chat-event.ts';
import { DEFAULT_TENANT, isSessionId, isTenant } from '../../session/session-ref.ts';
import { GatewayError } from '../gateway-error.ts';
import { isFields } from '../json/parse-json.ts';
import type { Identity, Scope } from './identity.ts';

export interface ClaimRules {
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  /** The longest lifetime of a token, `exp` minus `iat`. Undefined: `exp` is at most TOKEN_LIFETIME_MAX_MS away. */
  readonly maxAgeMs?: number | undefined;
}

/** UTF-16 code units of `sub`. */
export const SUB_CHARS_MAX = 256;
/** Ids in `sessions`. */
export const TOKEN_SESSIONS_MAX = 128;
/** A longer lifetime is a mistake of the issuer. */
export const TOKEN_LIFETIME_MAX_MS = 2 * 366 * 24 * 60 * 60 * 1000;
/** How far the issuer's clock may be ahead of this node's. Expiry has no leeway. */
export const NOT_BEFORE_LEEWAY_MS = 5_000;

const SCOPES: ReadonlySet<string> = new Set<Scope>(['chat', 'worker', 'admin']);
const PRIORITIES: ReadonlySet<string> = new Set<RunPriority>(['high', 'normal', 'low']);

/** What a token says about its bearer. */
export type Claims = Omit<Identity, 'keyId'>;

/** `now` in ms since 1970. @throws GatewayError unauthenticated, token-expired */
export function parseClaims(claims: unknown, rules: ClaimRules, now: number): Claims {
  if (!isFields(claims)) refuse('its claims are not an object');
  const expiresAt = parseTimes(claims, now);
  if (rules.maxAgeMs !== undefined) checkAge(claims, rules.maxAgeMs, expiresAt, now);
  if (rules.issuer !== undefined && claims['iss'] !== rules.issuer) refuse('another issuer');
  if (rules.audience !== undefined && !hasAudience(claims['aud'], rules.audience)) refuse('for another audience');
  return {
    principal: { tenant: parseTenant(claims['tenant']), user: parseUser(claims['sub']) },
    scopes: parseScopes(claims['scope']),
    sessions: parseSessions(claims['sessions']),
    sessionPrefix: parseSessionPrefix(claims['sessionPrefix']),
    priority: parsePriority(claims['priority']),
    isReadOnly: false,
    expiresAt,
  };
}

function parseTimes(claims: Readonly<Record<string, unknown>>, now: number): number {
  const { exp, nbf } = claims;
  if (typeof exp !== 'number' || !Number.isFinite(exp)) refuse('it has no numeric exp');
  const expiresAt = exp * 1000;
  if (expiresAt <= now) throw new GatewayError('token-expired');
  if (expiresAt > now + TOKEN_LIFETIME_MAX_MS) refuse('its exp is too far away');
  if (nbf === undefined) return expiresAt;
  if (typeof nbf !== 'number' || !Number.isFinite(nbf)) refuse('its nbf is not a number');
  if (nbf * 1000 > now + NOT_BEFORE_LEEWAY_MS) refuse('it is not valid yet');
  return expiresAt;
}

/** Bounds the age of a token through its lifetime: a token that has not expired is not older than its lifetime. */
function checkAge({ iat }: Readonly<Record<string, unknown>>, maxAgeMs: number, expiresAt: number, now: number): void {
  if (typeof iat !== 'number' || !Number.isFinite(iat)) refuse('it has no numeric iat');
  if (iat * 1000 > now + NOT_BEFORE_LEEWAY_MS) refuse('its iat is in the future');
  if (expiresAt - iat * 1000 > maxAgeMs) refuse('it is good for longer than a token may be here');
}

function hasAudience(aud: unknown, wanted: string): boolean {
  return Array.isArray(aud) ? aud.includes(wanted) : aud === wanted;
}

function parseUser(sub: unknown): string {
  if (typeof sub !== 'string' || sub === '' || sub.length > SUB_CHARS_MAX || hasLoneSurrogate(sub))
    refuse('its sub is not a name');
  return sub;
}

function hasLoneSurrogate(text: string): boolean {
  return /[\ud800-\udfff]/u.test(text);
}

function parseTenant(tenant: unknown): string {
  if (tenant === undefined) return DEFAULT_TENANT;
  if (typeof tenant !== 'string' || !isTenant(tenant)) refuse('its tenant is not a name');
  return tenant;
}

/** Scopes of other systems are ignored. */
function parseScopes(scope: unknown): ReadonlySet<Scope> {
  if (scope === undefined) return new Set();
  if (typeof scope !== 'string') refuse('its scope is not text');
  return new Set(scope.split(' ').filter((one): one is Scope => SCOPES.has(one)));
}

function parseSessions(sessions: unknown): ReadonlySet<string> | undefined {
  if (sessions === undefined) return undefined;
  if (!Array.isArray(sessions) || sessions.length > TOKEN_SESSIONS_MAX) refuse('its sessions are not a list');
  return new Set(
    sessions.map((one: unknown) => {
      if (typeof one !== 'string' || !isSessionId(one)) refuse('its sessions are not session ids');
      return one;
    }),
  );
}

function parseSessionPrefix(prefix: unknown): string | undefined {
  if (prefix === undefined) return undefined;
  if (typeof prefix !== 'string' || !isSessionId(prefix)) refuse('its sessionPrefix begins no session id');
  return prefix;
}

function parsePriority(priority: unknown): RunPriority {
  if (priority === undefined) return 'normal';
  if (typeof priority !== 'string' || !PRIORITIES.has(priority)) refuse('its priority is none');
  return priority as RunPriority;
}

function refuse(why: string): never {
  throw new GatewayError('unauthenticated', { message: `the token is not valid: ${why}` });
}
