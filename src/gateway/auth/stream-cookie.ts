// The cookie that the gateway sets when a stream redeems a ticket. A native EventSource can send neither a header nor a
// new ticket, and reconnects with this cookie. It is good for the path of one stream, until the buyer's token expires.
// [PROTOCOL §2]
import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeIdentity, encodeIdentity } from './identity-codec.ts';
import type { Identity } from './identity.ts';

export const STREAM_COOKIE = 'holdline_stream';

export class StreamCookie {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** A Set-Cookie header. `now` in ms since 1970. `secure`: browsers reach this server over TLS, so the cookie must not
   *  travel over plain HTTP. */
  write(identity: Identity, sessionId: string, options: { readonly now: number; readonly secure: boolean }): string {
    const body = Buffer.from(
      encodeIdentity({ ...identity, isReadOnly: true, sessions: new Set([sessionId]) }),
    ).toString('base64url');
    const maxAgeS = Math.max(0, Math.floor((identity.expiresAt - options.now) / 1000));
    // The values need no quoting: base64url, an id, a number.
    const attributes = [
      `Path=/v1/sessions/${sessionId}/events`,
      `Max-Age=${maxAgeS}`,
      'HttpOnly',
      'SameSite=Strict',
      ...(options.secure ? ['Secure'] : []),
    ];
    return [`${STREAM_COOKIE}=${body}.${this.#sign(body)}`, ...attributes].join('; ');
  }

  /** Undefined when the header has no such cookie, or its signature is wrong, or it has expired. */
  read(header: string | undefined, now: number): Identity | undefined {
    const [body = '', signature = '', ...more] = find(header)?.split('.') ?? [];
    if (body === '' || more.length > 0 || !isEqual(signature, this.#sign(body))) return undefined;
    const identity = decodeIdentity(Buffer.from(body, 'base64url').toString());
    return identity.expiresAt > now ? identity : undefined;
  }

  #sign(body: string): string {
    return createHmac('sha256', this.#secret).update(body).digest('base64url');
  }
}

/** The first cookie of that name: the browser sends the cookie with the longest path first. [RFC 6265 §5.4] */
function find(header: string | undefined): string | undefined {
  const start = `${STREAM_COOKIE}=`;
  const pair = header?.split(';').find((one) => one.trimStart().startsWith(start));
  return pair?.trim().slice(start.length);
}

function isEqual(a: string, b: string): boolean {
  const given = Buffer.from(a);
  const wanted = Buffer.from(b);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
