// Where a verifier gets the key for a token from. `token-keys.ts` makes one from the configuration.
import { createHash, type KeyObject } from 'node:crypto';
import type { JwtAlgorithm } from '../gateway-config.ts';

/** 132 bits. */
const KEY_ID_CHARS = 22;

export interface VerifyingKey {
  /** Names the key itself, not what its set calls it. The same on every node. */
  readonly id: string;
  readonly key: KeyObject;
}

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

/** A shared secret is no part of what is stored, and neither is a digest of it. */
export const SECRET_KEY_ID = 'secret';

export function keyIdOf(key: KeyObject): string {
  if (key.type === 'secret') return SECRET_KEY_ID;
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
    .slice(0, KEY_ID_CHARS);
}
