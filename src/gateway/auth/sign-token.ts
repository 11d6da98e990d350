// Makes a token for a shared secret: what `holdline token` and the ready link of a first start need. Verifying is
// another file's business; the two share only the library.
import type { KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';

/** `claims` must hold `exp`. */
export function signToken(claims: Readonly<Record<string, unknown>>, secret: KeyObject): string {
  return jwt.sign({ ...claims }, secret, { algorithm: 'HS256' });
}
