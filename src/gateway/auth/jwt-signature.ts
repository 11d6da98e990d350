// The keys and the signature of a JWT: which key may be used with which algorithm, and how a signature is made and
// checked. The configuration chooses the algorithms; a token only names which of the allowed ones it used. This file
// and no other uses the JWT library. `claims.ts` checks what a token says.
import { createHash, verify as verifyBytes, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { JwtAlgorithm } from '../gateway-config.ts';

/** Base64url characters: 132 bits. */
const KEY_ID_CHARS = 22;

export interface VerifyingKey {
  /** A digest of the key itself and not its `kid`, so it is the same on every node. */
  readonly id: string;
  readonly key: KeyObject;
}

/** The id of every shared secret: neither a secret nor its digest may be stored. */
export const SECRET_KEY_ID = 'secret';

export function keyIdOf(key: KeyObject): string {
  if (key.type === 'secret') return SECRET_KEY_ID;
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
    .slice(0, KEY_ID_CHARS);
}

/** RSA keys below this can be factored. */
const RSA_BITS_MIN = 2048;
const CURVES: ReadonlyMap<string, JwtAlgorithm> = new Map([
  ['prime256v1', 'ES256'],
  ['secp384r1', 'ES384'],
]);

export function fitsAlgorithm(key: KeyObject, algorithm: JwtAlgorithm): boolean {
  if (key.type === 'secret') return algorithm.startsWith('HS');
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (asymmetricKeyType === 'rsa')
    return isRsa(algorithm) && (asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS_MIN;
  return algorithm === naturalAlgorithm(key);
}

/** The algorithm of a public key when the configuration names none. */
export function naturalAlgorithm(key: KeyObject): JwtAlgorithm | undefined {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  return key.asymmetricKeyType === 'ec' ? CURVES.get(key.asymmetricKeyDetails?.namedCurve ?? '') : undefined;
}

function isRsa(algorithm: JwtAlgorithm): boolean {
  return algorithm.startsWith('RS') || algorithm.startsWith('PS');
}

/** Checks the signature only. `claims.ts` checks the claims, with the same rules for every algorithm. */
export function hasValidSignature(token: string, algorithm: JwtAlgorithm, key: KeyObject): boolean {
  if (algorithm === 'EdDSA') return hasValidEdDsa(token, key);
  try {
    jwt.verify(token, key, { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true });
    return true;
  } catch (error) {
    // The library parses the claims before it checks the signature, and passes on the errors of the JSON parser.
    if (error instanceof jwt.JsonWebTokenError || error instanceof SyntaxError) return false;
    throw error;
  }
}

/** The library does not support EdDSA. [RFC 8037 §3.1] */
function hasValidEdDsa(token: string, key: KeyObject): boolean {
  const end = token.lastIndexOf('.');
  return verifyBytes(null, Buffer.from(token.slice(0, end)), key, Buffer.from(token.slice(end + 1), 'base64url'));
}

/** Makes a token for a shared secret, for `holdline token` and the ready link of a first start. `claims` must hold
 *  `exp`. */
export function signToken(claims: Readonly<Record<string, unknown>>, secret: KeyObject): string {
  return jwt.sign({ ...claims }, secret, { algorithm: 'HS256' });
}
