// A JWK set behind a URL. The set is fetched when first needed and kept. It is fetched again when a token names a key
// that the set does not have, at most once a minute, so that strangers' tokens cannot drive requests of this node. It
// is also fetched every minute while it is used or a connection is open, so that a withdrawn key stops working. When a
// fetch fails, the keys at hand stay in use.
import type { Clock } from '../../base/clock.ts';
import type { JwtAlgorithm } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { parseJson } from '../json/parse-json.ts';
import { JwkSet } from './jwk-set.ts';
import type { VerifyingKey } from './jwt-signature.ts';
import { readBounded, type ReadableBody } from './read-bounded.ts';
import type { KeySource } from './token-verifier.ts';

/** The least time between two fetches for an unknown `kid`. */
export const JWKS_REFETCH_MS = 60_000;
/** A set older than this is fetched again. */
export const JWKS_STALE_MS = 60_000;
export const JWKS_TIMEOUT_MS = 5_000;
export const JWKS_BYTES_MAX = 256 * 1024;

/** The part of `fetch` that this file uses. */
export type FetchKeys = (
  url: URL,
  init: { readonly redirect: 'error'; readonly signal: AbortSignal },
) => Promise<{
  readonly ok: boolean;
  readonly status: number;
  readonly body: ReadableBody | null;
}>;

export interface RemoteJwkSetDeps {
  readonly clock: Clock;
  readonly fetchKeys: FetchKeys;
  readonly onFetchFailed: (error: unknown) => void;
}

export class RemoteJwkSet implements KeySource {
  readonly algorithms: ReadonlySet<JwtAlgorithm>;
  readonly #url: URL;
  readonly #deps: RemoteJwkSetDeps;
  #set: JwkSet | undefined;
  #text: string | undefined;
  #generation = 0;
  #triedAt: number | undefined;
  #missedAt: number | undefined;
  #fetching: Promise<void> | undefined;

  constructor(url: URL, algorithms: ReadonlySet<JwtAlgorithm>, deps: RemoteJwkSetDeps) {
    this.#url = url;
    this.algorithms = algorithms;
    this.#deps = deps;
  }

  get generation(): number {
    return this.#generation;
  }

  refreshIfStale(): void {
    if (this.#since(this.#triedAt) >= JWKS_STALE_MS) void this.#refetch();
  }

  async find(algorithm: JwtAlgorithm, kid: string | undefined): Promise<VerifyingKey | undefined> {
    const known = this.#set?.find(algorithm, kid);
    if (known !== undefined) return known;
    if (this.#fetching !== undefined || this.#since(this.#missedAt) >= JWKS_REFETCH_MS) {
      this.#missedAt = this.#deps.clock.mono();
      await this.#refetch();
    }
    if (this.#set === undefined) throw new GatewayError('keys-unavailable');
    return this.#set.find(algorithm, kid);
  }

  holds(keyId: string): boolean {
    return this.#set?.holds(keyId) ?? true;
  }

  #since(then: number | undefined): number {
    return then === undefined ? Number.POSITIVE_INFINITY : this.#deps.clock.mono() - then;
  }

  /** One fetch at a time. Never rejects. */
  #refetch(): Promise<void> {
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { clock, fetchKeys, onFetchFailed } = this.#deps;
    this.#triedAt = clock.mono();
    const abort = new AbortController();
    const timer = clock.after(JWKS_TIMEOUT_MS, () => abort.abort());
    try {
      const response = await fetchKeys(this.#url, { redirect: 'error', signal: abort.signal });
      if (!response.ok) {
        await response.body?.cancel();

        throw new Error(`the key server answered ${response.status}`);
      }
      this.#take(await readBounded(response.body, JWKS_BYTES_MAX, abort.signal));
    } catch (error) {
      onFetchFailed(error);
    } finally {
      timer.cancel();
    }
  }

  #take(text: string): void {
    if (text === this.#text) return;
    const parsed = parseJson(text);
    const set = parsed === undefined ? undefined : JwkSet.parse(parsed.value);
    if (set === undefined) throw new Error('the key server answered with something else than a JWK set');
    this.#set = set;
    this.#text = text;
    this.#generation += 1;
  }
}
