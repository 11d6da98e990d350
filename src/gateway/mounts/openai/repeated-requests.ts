// Requests that the client library repeats by itself after a lost connection, without a key. It counts its tries in a
// header, from 0 on. A first try in a chat of its own takes an id that the next try can derive: from the token, which
// nobody else has, the request and the time. So any node finds the run of a request whose answer was lost.
//
// A repeated request joins a run only where exactly one equal request of the same user has not ended: of two, each was
// meant, and what has ended may have been answered. Otherwise it is a new prompt.
import { createHmac } from 'node:crypto';
import type { FastifyRequest } from 'fastify';

/** In ms. The last try of the library comes sooner. */
const WINDOW_MS = 10 * 60 * 1_000;
/** Equal requests of one window that have ids of this kind. With a second one a repeat is ambiguous already. */
const EQUAL_MAX = 2;

export type Tries = 'first' | 'again' | 'unknown';

export function triesOf({ headers }: FastifyRequest): Tries {
  const count = headers['x-stainless-retry-count'];
  if (typeof count !== 'string' || !/^\d{1,4}$/.test(count)) return 'unknown';
  return Number(count) === 0 ? 'first' : 'again';
}

/** The ids that a first try takes, the first that is free. */
export function idsOfTry(request: FastifyRequest, now: number): readonly string[] {
  return idsIn(request, Math.floor(now / WINDOW_MS));
}

/** The ids that earlier tries can have taken. */
export function idsOfEarlierTries(request: FastifyRequest, now: number): readonly string[] {
  const window = Math.floor(now / WINDOW_MS);
  return [...idsIn(request, window), ...idsIn(request, window - 1)];
}

function idsIn(request: FastifyRequest, window: number): readonly string[] {
  const { authorization = '' } = request.headers;
  const asked = JSON.stringify([request.method, request.routeOptions.url, request.body]);
  return Array.from({ length: EQUAL_MAX }, (_, i) => {
    const digest = createHmac('sha256', authorization).update(`${window} ${i} ${asked}`).digest('base64url');
    return `once-${digest}`;
  });
}
