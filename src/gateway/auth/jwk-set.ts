// A set of public keys [RFC 7517 §5]. It finds a key by the `kid` of a token, which it only compares: a `kid` is never
// used as a path, a URL or a query. `remote-jwk-set.ts` fetches a set.
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import type { JwtAlgorithm } from '../gateway-config.ts';
import { isFields } from '../json/parse-json.ts';
import { fitsAlgorithm, keyIdOf, type VerifyingKey } from './jwt-signature.ts';

export const JWKS_KEYS_MAX = 64;

interface NamedKey {
  readonly kid: string | undefined;
  readonly algorithm: string | undefined;
  readonly verifying: VerifyingKey;
}

/** `oct` is left out: it is a shared secret, which a published set must not contain. */
const KEY_TYPES: ReadonlySet<unknown> = new Set(['RSA', 'EC', 'OKP']);

export class JwkSet {
  readonly #keys: readonly NamedKey[];
  readonly #ids: ReadonlySet<string>;

  private constructor(keys: readonly NamedKey[]) {
    this.#keys = keys;
    this.#ids = new Set(keys.map(({ verifying }) => verifying.id));
  }

  /** Undefined when the document has no usable key. Keys of unknown kinds are left out. */
  static parse(document: unknown): JwkSet | undefined {
    const list = isFields(document) ? document['keys'] : undefined;
    if (!Array.isArray(list)) return undefined;
    const keys = list.slice(0, JWKS_KEYS_MAX).flatMap((jwk: unknown) => parseKey(jwk));
    return keys.length === 0 ? undefined : new JwkSet(keys);
  }

  /** Undefined unless exactly one key fits; without a `kid`, exactly one key of the algorithm. */
  find(algorithm: JwtAlgorithm, kid: string | undefined): VerifyingKey | undefined {
    const fitting = this.#keys.filter(
      (one) => fitsAlgorithm(one.verifying.key, algorithm) && (one.algorithm ?? algorithm) === algorithm,
    );
    const found = kid === undefined ? fitting : fitting.filter((one) => one.kid === kid);
    return found.length === 1 ? found[0]?.verifying : undefined;
  }

  holds(keyId: string): boolean {
    return this.#ids.has(keyId);
  }
}

function parseKey(jwk: unknown): NamedKey[] {
  if (!isFields(jwk) || !KEY_TYPES.has(jwk['kty']) || (jwk['use'] !== undefined && jwk['use'] !== 'sig')) return [];
  // `d` is the private half: a published private key is compromised.
  if (jwk['d'] !== undefined) return [];
  const { kid, alg } = jwk;
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    return [
      {
        kid: typeof kid === 'string' ? kid : undefined,
        algorithm: typeof alg === 'string' ? alg : undefined,
        verifying: { id: keyIdOf(key), key },
      },
    ];
  } catch (error) {
    if (error instanceof Error) return [];
    throw error;
  }
}
