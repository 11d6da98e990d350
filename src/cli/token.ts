// `holdline token`: makes a JWT for the configured key, for scripts and experiments.
import { createSecretKey } from 'node:crypto';
import { parseClaims } from '../gateway/auth/claims.ts';
import { isGatewayError } from '../gateway/gateway-error.ts';
import { isTenant } from '../session/session-ref.ts';
import { signToken } from '../gateway/auth/jwt-signature.ts';
import type { BrokerConfig } from './config/broker-config.ts';
import type { Config } from './config/config.ts';
import { parseDuration } from './config/duration.ts';
import { readOwnSecret } from './config/key-file.ts';
import { UsageError } from './config/environment.ts';

export interface TokenChoices {
  readonly sub: string;
  readonly scope: string;
  readonly tenant: string;
  readonly ttl: string;
  readonly sessions?: readonly string[];
  readonly sessionPrefix?: string;
  readonly priority?: string;
}

const TTL_MAX_SECONDS = 366 * 86_400;

/** @throws UsageError */
export function makeToken(config: Pick<Config, 'auth' | 'broker'>, choices: TokenChoices, nowMs: number): string {
  if (choices.sub === '' || choices.sub.length > 256) throw new UsageError('--sub must have 1 to 256 characters');
  if (!isTenant(choices.tenant)) throw new UsageError('--tenant must be [A-Za-z0-9_-], 1 to 64 characters');
  const key = createSecretKey(signingSecret(config));
  const { issuer, audience, maxAgeMs } = config.auth ?? {};
  const { sub, scope, tenant, sessions, sessionPrefix, priority } = choices;
  const issuedAt = Math.floor(nowMs / 1000);
  const claims = {
    sub,
    scope,
    tenant,
    ...(sessions === undefined ? {} : { sessions }),
    ...(sessionPrefix === undefined ? {} : { sessionPrefix }),
    ...(priority === undefined ? {} : { priority }),
    ...(issuer === undefined ? {} : { iss: issuer }),
    ...(audience === undefined ? {} : { aud: audience }),
    iat: issuedAt,
    exp: issuedAt + parseTtl(choices.ttl),
  };
  checkClaims(claims, maxAgeMs, nowMs);
  return signToken(claims, key);
}

/** Refuses to make a token that no server would accept. */
function checkClaims(
  claims: Readonly<Record<string, unknown>> & { readonly scope: string },
  maxAgeMs: number | undefined,
  nowMs: number,
): void {
  try {
    const { scopes } = parseClaims(claims, { issuer: undefined, audience: undefined, maxAgeMs }, nowMs);
    const unknown = claims.scope.split(' ').find((scope) => !(scopes as ReadonlySet<string>).has(scope));
    if (unknown !== undefined)
      throw new UsageError(
        `--scope must be of chat, worker, admin, separated by spaces: there is no ${JSON.stringify(unknown)}`,
      );
  } catch (error) {
    throw isGatewayError(error, 'unauthenticated') ? new UsageError(error.message) : error;
  }
}

/** `90s`, `15m`, `1h`, `30d`. @throws UsageError */
export function parseTtl(text: string): number {
  const seconds = parseDuration(text, TTL_MAX_SECONDS);
  if (seconds === undefined) throw new UsageError('--ttl must be like 90s, 15m, 1h or 30d, at most 366d');
  return seconds;
}

function signingSecret({ auth, broker }: Pick<Config, 'auth' | 'broker'>): Uint8Array {
  if (auth === undefined) return ownKeyOf(broker);
  if (auth.keys.kind === 'secret') return auth.keys.secret;
  throw new UsageError('tokens are verified with a public key here: only the holder of the private key can make one');
}

function ownKeyOf(broker: BrokerConfig): Uint8Array {
  if (broker.engine !== 'log')
    throw new UsageError('a server without a data folder makes a new key at every start: set HOLDLINE_JWT_SECRET');
  // A key made here would be unknown to every server.
  const secret = readOwnSecret(broker.folder);
  if (secret !== undefined) return secret;
  throw new UsageError(
    `there is no key in ${broker.folder}: no server has started on this folder yet. Start the server first, or run this command with the HOLDLINE_BROKER or the key of your server`,
  );
}
