// Where a verifier gets the key for a token from. `token-keys.ts` makes one from the configuration.
import type { KeyObject } from 'node:crypto';
import type { JwtAlgorithm } from '../gateway-config.ts';

export interface KeySource {
  readonly algorithms: ReadonlySet<JwtAlgorithm>;
  /** Changes whenever the keys did: what was verified before must be verified again. */
  readonly generation: number;
  /** Called with every token: keys that are old are fetched anew behind the caller's back. */
  refreshIfStale(): void;
  /** @throws GatewayError keys-unavailable */
  find(algorithm: JwtAlgorithm, kid: string | undefined): Promise<KeyObject | undefined>;
}
