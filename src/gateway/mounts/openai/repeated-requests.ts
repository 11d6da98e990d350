// Requests that the client library repeats by itself after a lost connection, without a key. It counts its tries in a
// header, from 0 on. A first try in a chat of its own takes an id that the next try can derive: from the token, which
// nobody else has, the request and the time. So any node finds the run of a request whose answer was lost.
//
// A repeated request joins a run only where exactly one equal request of the same user has not ended: of two, each was
// meant, and what has ended may have been answered. Otherwise it is a new prompt.
import { createHmac } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { jsonPieces } from '../../../base/json-text.ts';
import type { LongWork } from '../../../base/long-work.ts';

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

/** The ids that a first try takes, the first that is free. Another is made only where the one before it is taken. */
export async function* idsOfTry(work: LongWork, request: FastifyRequest, now: number): AsyncGenerator<string> {
  for (const key of keysIn(Math.floor(now / WINDOW_MS))) yield* await idsOf(work, request, [key]);
}

/** The ids that earlier tries can have taken. */
export function idsOfEarlierTries(work: LongWork, request: FastifyRequest, now: number): Promise<readonly string[]> {
  const window = Math.floor(now / WINDOW_MS);
  return idsOf(work, request, [...keysIn(window), ...keysIn(window - 1)]);
}

function keysIn(window: number): readonly string[] {
  return Array.from({ length: EQUAL_MAX }, (_, i) => `${window} ${i} `);
}

/** An id for each key. The request is serialised once for all of them. */
async function idsOf(work: LongWork, request: FastifyRequest, keys: readonly string[]): Promise<readonly string[]> {
  const { authorization = '' } = request.headers;
  const digests = keys.map((key) => createHmac('sha256', authorization).update(key));
  await work.run(hashSteps(digests, [request.method, request.routeOptions.url, request.body]));
  return digests.map((digest) => `once-${digest.digest('base64url')}`);
}

function* hashSteps(
  digests: readonly ReturnType<typeof createHmac>[],
  value: unknown,
): Generator<undefined, undefined> {
  for (const piece of jsonPieces(value)) {
    for (const digest of digests) digest.update(piece);
    yield;
  }
}
