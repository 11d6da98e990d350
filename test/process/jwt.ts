// Makes and reads tokens by hand, with only node:crypto, as a customer's identity provider would make them.
import { sign, type KeyObject } from 'node:crypto';

export type Claims = Readonly<Record<string, unknown>>;
type Algorithm = 'ES256' | 'RS256' | 'EdDSA';

export function signJwt(algorithm: Algorithm, key: KeyObject, claims: Claims, header: Claims = {}): string {
  const signed = `${encode({ alg: algorithm, typ: 'JWT', ...header })}.${encode(claims)}`;
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  const signature = sign(digest, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

export function decodeJwt(token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims;
}

function encode(fields: Claims): string {
  return Buffer.from(JSON.stringify(fields)).toString('base64url');
}
