// Makes the source of the keys that verify tokens from the configuration: a shared secret, one public key, or a set of
// them. A key that must not be used is refused here, before the process listens.
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { JWT_SECRET_BYTES_MIN, LOOPBACK_HOSTS, type AuthConfig, type JwtAlgorithm } from '../gateway-config.ts';
import { fitsAlgorithm, keyIdOf, naturalAlgorithm } from './jwt-signature.ts';
import { JwkSet } from './jwk-set.ts';
import { RemoteJwkSet, type RemoteJwkSetDeps } from './remote-jwk-set.ts';
import type { KeySource } from './token-verifier.ts';

/** The configuration names a key that must not be used. */
export class InvalidKeyError extends Error {
  override readonly name = 'InvalidKeyError';
}

const HMAC: readonly JwtAlgorithm[] = ['HS256', 'HS384', 'HS512'];
const JWKS_DEFAULT: readonly JwtAlgorithm[] = ['RS256', 'ES256', 'EdDSA'];

/** @throws InvalidKeyError */
export function createKeySource({ keys, algorithms }: AuthConfig, deps: RemoteJwkSetDeps): KeySource {
  switch (keys.kind) {
    case 'secret':
      return singleKey(secretKey(keys.secret), algorithms ?? ['HS256']);
    case 'public-key': {
      const key = publicKey(keys.pem);
      return singleKey(
        key,
        algorithms ?? [naturalAlgorithm(key) ?? invalid('no algorithm is known for this kind of public key')],
      );
    }
    case 'jwks': {
      const set = JwkSet.parse(keys.document) ?? invalid('not a JWK set with a usable key');
      return {
        algorithms: asymmetric(algorithms),
        generation: 0,
        refreshIfStale: () => undefined,
        find: async (alg, kid) => set.find(alg, kid),
        holds: (id) => set.holds(id),
      };
    }
    case 'jwks-url':
      return new RemoteJwkSet(checkedUrl(keys.url), asymmetric(algorithms), deps);
    default:
      return keys satisfies never;
  }
}

function singleKey(key: KeyObject, algorithms: readonly JwtAlgorithm[]): KeySource {
  const misfit = algorithms.find((algorithm) => !fitsAlgorithm(key, algorithm));
  if (misfit !== undefined || algorithms.length === 0) invalid(`the key does not fit the algorithm ${misfit ?? ''}`);
  const id = keyIdOf(key);
  return {
    algorithms: new Set(algorithms),
    generation: 0,
    refreshIfStale: () => undefined,
    find: async () => ({ id, key }),
    holds: (keyId) => keyId === id,
  };
}

function secretKey(secret: Uint8Array): KeyObject {
  if (secret.byteLength < JWT_SECRET_BYTES_MIN) invalid(`a secret has at least ${JWT_SECRET_BYTES_MIN} bytes`);
  return createSecretKey(secret);
}

function publicKey(pem: string): KeyObject {
  // A private key would work, and then every node would hold it.
  if (pem.includes('PRIVATE KEY')) invalid('this is a private key: the gateway needs the public one');
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new InvalidKeyError('not a public key in PEM', { cause });
  }
}

/** The algorithms of a key set. A shared secret in a published set would let anybody sign. */
function asymmetric(algorithms: readonly JwtAlgorithm[] = JWKS_DEFAULT): ReadonlySet<JwtAlgorithm> {
  if (algorithms.length === 0 || algorithms.some((one) => HMAC.includes(one)))
    invalid('a JWK set verifies public-key algorithms only');
  return new Set(algorithms);
}

function checkedUrl(text: string): URL {
  if (!URL.canParse(text)) invalid('not a URL');
  const url = new URL(text);
  const isLocal = LOOPBACK_HOSTS.includes(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLocal)) invalid('keys are fetched over https only');
  return url;
}

function invalid(message: string): never {
  throw new InvalidKeyError(message);
}
