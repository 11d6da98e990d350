// From a token's text to an identity, or 401. Owns the cache of tokens verified already: a browser sends the
// same one with every request, and a signature costs more than all the rest of a request together.
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { JwtAlgorithm } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { decodeUtf8, hasDuplicateNames, isFields, parseJson } from '../json/parse-json.ts';
import { parseClaims, type ClaimRules } from './claims.ts';
import type { Identity } from './identity.ts';
import { hasValidSignature, type VerifyingKey } from './jwt-signature.ts';

/** Where the verifier gets the key for a token from. `token-keys.ts` makes one from the configuration. */
export interface KeySource {
  readonly algorithms: ReadonlySet<JwtAlgorithm>;
  /** Changes whenever the keys did: what was verified before must be verified again. */
  readonly generation: number;
  /** Called with every token, and once a second while anything is open: keys that are old are fetched anew behind the
   *  caller's back. */
  refreshIfStale(): void;
  /** @throws GatewayError keys-unavailable */
  find(algorithm: JwtAlgorithm, kid: string | undefined): Promise<VerifyingKey | undefined>;
  /** False once a key was withdrawn. Where no keys were fetched yet it is true: the next look tells. */
  holds(keyId: string): boolean;
}

/** Characters of a token: what has more is no token, and costs nothing. */
export const TOKEN_CHARS_MAX = 8 * 1024;
/** Verified tokens kept; some hundred bytes each. */
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
    // By digest, so that a dump of this process's memory is not a list of tokens.
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#verified.get(digest);
    if (known !== undefined) return this.#stillValid(digest, known);
    const identity = await this.#verify(token);
    this.#remember(digest, identity);
    return identity;
  }

  /** Once a second, while anything is open: withdrawn keys must be found also where no token comes. */
  refreshKeys(): void {
    this.#keys.refreshIfStale();
  }

  /** The key that verified it has not been withdrawn since. */
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
    // What must be understood and is not must be refused, and we understand no extension. [RFC 7515 §4.1.11]
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
