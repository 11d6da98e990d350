// Verifies a token: from its text to an identity, or 401. Owns the cache of verified tokens: a browser sends the same
// token with every request, and checking a signature costs more than all other work of a request together.
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { JwtAlgorithm } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { decodeUtf8, hasDuplicateNames, isFields, parseJson } from '../json/parse-json.ts';
import { parseClaims, type ClaimRules } from './claims.ts';
import type { Identity } from './identity.ts';
import { hasValidSignature, type VerifyingKey } from './jwt-signature.ts';

/** The keys that verify tokens. `token-keys.ts` makes a source from the configuration. */
export interface KeySource {
  readonly algorithms: ReadonlySet<JwtAlgorithm>;
  /** Changes whenever the keys change: tokens verified before must be verified again. */
  readonly generation: number;
  /** Fetches old keys again in the background. Called for every token, and once a second while a connection is open. */
  refreshIfStale(): void;
  /** @throws GatewayError keys-unavailable */
  find(algorithm: JwtAlgorithm, kid: string | undefined): Promise<VerifyingKey | undefined>;
  /** False once the key was withdrawn. True while no keys were fetched yet; a later call decides. */
  holds(keyId: string): boolean;
}

/** The longest token, in characters. A longer text is refused before any work. */
export const TOKEN_CHARS_MAX = 8 * 1024;
/** Verified tokens in the cache; some hundred bytes each. */
export const VERIFIED_TOKENS_MAX = 10_000;

const SEGMENT = /^[A-Za-z0-9_-]+$/;

export class TokenVerifier {
  readonly #keys: KeySource;
  readonly #rules: ClaimRules;
  readonly #clock: Clock;
  readonly #verified = new Map<string, Identity>();
  #generation = 0;

  constructor(keys: KeySource, rules: ClaimRules, clock: Clock) {
    this.#keys = keys;
    this.#rules = rules;
    this.#clock = clock;
  }

  /** @throws GatewayError unauthenticated, token-expired, keys-unavailable */
  async verify(token: string): Promise<Identity> {
    if (token.length > TOKEN_CHARS_MAX) refuse('it is too long');
    this.#keys.refreshIfStale();
    if (this.#keys.generation !== this.#generation) this.#verified.clear();
    this.#generation = this.#keys.generation;
    // The cache is keyed by digest, so that a dump of this process's memory is not a list of tokens.
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#verified.get(digest);
    if (known !== undefined) return this.#stillValid(digest, known);
    const identity = await this.#verify(token);
    this.#remember(digest, identity);
    return identity;
  }

  /** Called once a second while a connection is open: a withdrawn key must be noticed even if no token arrives. */
  refreshKeys(): void {
    this.#keys.refreshIfStale();
  }

  /** The identity has not expired, and the key that verified it has not been withdrawn. */
  isStillGood(identity: Identity): boolean {
    return identity.expiresAt > this.#clock.now() && this.#keys.holds(identity.keyId);
  }

  #stillValid(digest: string, identity: Identity): Identity {
    if (identity.expiresAt > this.#clock.now()) return identity;
    this.#verified.delete(digest);
    throw new GatewayError('token-expired');
  }

  async #verify(token: string): Promise<Identity> {
    const [head = '', payload = '', signature = '', ...more] = token.split('.');
    if (more.length > 0 || ![head, payload, signature].every((part) => SEGMENT.test(part)))
      refuse('it is not a signed JWT');
    const { algorithm, kid } = this.#parseHead(head);
    const key = await this.#keys.find(algorithm, kid);
    if (key === undefined || !hasValidSignature(token, algorithm, key.key)) refuse('its signature is not ours');
    return { ...parseClaims(parseSegment(payload), this.#rules, this.#clock.now()), keyId: key.id };
  }

  #parseHead(segment: string): { algorithm: JwtAlgorithm; kid: string | undefined } {
    const head = parseSegment(segment);
    if (!isFields(head)) refuse('its header is not an object');
    const { alg, kid, typ } = head;
    const algorithm = [...this.#keys.algorithms].find((one) => one === alg);
    if (algorithm === undefined) refuse('its algorithm is not accepted');
    // A token with an unsupported critical extension must be refused, and this verifier supports none. [RFC 7515
    // §4.1.11]
    if (head['crit'] !== undefined || head['b64'] !== undefined) refuse('it needs an extension');
    if (kid !== undefined && typeof kid !== 'string') refuse('its kid is not text');
    if (typ !== undefined && (typeof typ !== 'string' || !/^(application\/)?(at\+)?jwt$/i.test(typ)))
      refuse('its typ is not JWT');
    return { algorithm, kid };
  }

  #remember(digest: string, identity: Identity): void {
    this.#verified.set(digest, identity);
    if (this.#verified.size <= VERIFIED_TOKENS_MAX) return;
    for (const oldest of this.#verified.keys()) {
      this.#verified.delete(oldest);
      break;
    }
  }
}

function parseSegment(segment: string): unknown {
  const text = decodeUtf8(Buffer.from(segment, 'base64url'));
  const parsed = text === undefined ? undefined : parseJson(text);
  if (text === undefined || parsed === undefined || hasDuplicateNames(text)) refuse('it is not plain JSON');
  return parsed.value;
}

function refuse(why: string): never {
  throw new GatewayError('unauthenticated', { message: `the token is not valid: ${why}` });
}
