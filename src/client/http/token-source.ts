// The bearer token: where it comes from, and how a refused token is replaced. However many streams and calls are
// refused at once, the callback runs once. This file never logs or exposes a token.
import { isFields } from '../protocol/wire-codec.ts';

/** A fixed token, or a callback that gets a fresh one. The client calls it again when the last token was refused or is
 *  about to expire; a rejection counts as a temporary fault and is retried with back-off. */
export type TokenOption = string | (() => Promise<string>);

export class TokenSource {
  readonly #callback: (() => Promise<string>) | undefined;
  #current: string | undefined;
  #pending: Promise<string> | undefined;

  constructor(token: TokenOption) {
    this.#callback = typeof token === 'string' ? undefined : token;
    this.#current = typeof token === 'string' ? token : undefined;
  }

  async current(): Promise<string> {
    return this.#current ?? this.#fetch();
  }

  /** A token other than the refused one; undefined if there is none. */
  async renew(refused: string): Promise<string | undefined> {
    // Another caller was refused a moment earlier and has renewed the token already.
    if (this.#current !== undefined && this.#current !== refused) return this.#current;
    if (this.#callback === undefined) return undefined;
    const fresh = await this.#fetch();
    return fresh === refused ? undefined : fresh;
  }

  async #fetch(): Promise<string> {
    if (this.#callback === undefined) throw new TypeError('no token and no callback to get one');
    this.#pending ??= this.#callback().finally(() => (this.#pending = undefined));
    this.#current = await this.#pending;
    return this.#current;
  }
}

/** When a JWT expires, in ms since 1970. Undefined without an expiry, or if it is no JWT: then only the server
 *  knows. */
export function expiryOf(token: string): number | undefined {
  const payload = token.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    const exp = isFields(claims) ? claims['exp'] : undefined;
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    // An opaque token: the client cannot read its expiry.
    return undefined;
  }
}
