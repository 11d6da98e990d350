// The cookie that a redeemed ticket leaves behind, so that a native EventSource, which can send neither a header
// nor a new ticket, may reconnect: good for one stream's path, until its buyer's token expires. [PROTOCOL §2]
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fastifyCookie as cookie } from '@fastify/cookie';
import { decodeIdentity, encodeIdentity } from './identity-codec.ts';
import type { Identity } from './identity.ts';

export const STREAM_COOKIE = 'holdline_stream';

export class StreamCookie {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** A Set-Cookie header. `secure`: the request came over TLS, so the cookie never travels without. */
  write(identity: Identity, sessionId: string, options: { readonly now: number; readonly secure: boolean }): string {
    const body = Buffer.from(encodeIdentity({ ...identity, sessions: new Set([sessionId]) })).toString('base64url');
    return cookie.serialize(STREAM_COOKIE, `${body}.${this.#sign(body)}`, {
      httpOnly: true,
      sameSite: 'strict',
      secure: options.secure,
      path: `/v1/sessions/${sessionId}/events`,
      maxAge: Math.max(0, Math.floor((identity.expiresAt - options.now) / 1000)),
    });
  }

  /** Undefined where there is none that is ours and still good. */
  read(header: string | undefined, now: number): Identity | undefined {
    const value = header === undefined ? undefined : cookie.parse(header)[STREAM_COOKIE];
    const [body = '', signature = '', ...more] = value?.split('.') ?? [];
    if (body === '' || more.length > 0 || !isEqual(signature, this.#sign(body))) return undefined;
    const identity = decodeIdentity(Buffer.from(body, 'base64url').toString());
    return identity.expiresAt > now ? identity : undefined;
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#secret).update(body).digest('base64url');
  }
}

function isEqual(a: string, b: string): boolean {
  const given = Buffer.from(a);
  const wanted = Buffer.from(b);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
