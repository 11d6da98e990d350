// GET and HEAD of a durable stream: catch-up, long poll, and event stream.
import type { FastifyReply } from 'fastify';
import type { StreamForks } from '../../../durable-streams/stream-forks.ts';
import { resolveOffset } from '../../../durable-streams/stream-reads.ts';
import type { LoadedStream } from '../../../durable-streams/stream-records.ts';
import type { PageReads } from '../../http/page-reads.ts';
import { isListed } from '../../../base/entity-tag.ts';
import { identityOf } from '../../http/http-app.ts';
import type { Readiness } from '../../readiness.ts';
import { openEventStream, waitForChange, type LiveReadsDeps } from './live-reads.ts';
import { nextCursor } from './stream-cursor.ts';
import { bodyOf } from './stream-frames.ts';
import { StreamRefusal } from './stream-refusals.ts';
import { positionHeaders, streamHeaders } from './stream-replies.ts';
import { readQuery, type ReadQuery } from './stream-requests.ts';
import { missing, topicOf, type StreamRequest } from './stream-of-request.ts';

export interface ReadRoutesDeps extends LiveReadsDeps {
  readonly readiness: Readiness;
  readonly reads: PageReads;
  readonly streamForks: StreamForks;
}

/** What lies before the end of a stream never changes; a reader at its end asks again whether there is more. */
const CACHE_BEFORE_END = 'private, max-age=60, stale-while-revalidate=300';
const CACHE_AT_END = 'private, no-cache';

export class ReadRoutes {
  readonly #deps: ReadRoutesDeps;

  constructor(deps: ReadRoutesDeps) {
    this.#deps = deps;
  }

  /** Waits for one of the user's pages where the answer is one at once. */
  readonly admit = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply | undefined> =>
    request.query['live'] === undefined ? this.#deps.reads.admit(request, reply) : undefined;

  /** A look at a stream is no read: its time to live does not slide. */
  readonly head = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { streamLog, streamForks } = this.#deps;
    const { topic } = topicOf(request);
    const stream = await streamLog.load(topic);
    if (stream === undefined) throw await missing(streamForks, topic);
    const { ttl, expiresAt } = stream.config;
    return reply
      .headers({
        ...streamHeaders(stream),
        ...(ttl === undefined ? {} : { 'stream-ttl': String(ttl) }),
        ...(expiresAt === undefined ? {} : { 'stream-expires-at': new Date(expiresAt).toISOString() }),
      })
      .send();
  };

  readonly get = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const query = readQuery(request.query);
    const isEventStream = query.live === 'sse';
    if (isEventStream) {
      this.#deps.lastRequests.add(request.raw.socket);
      reply.header('connection', 'close');
    }
    if (query.live !== undefined) this.#deps.readiness.mustNotDrain();
    const { topic } = topicOf(request);
    const stream = await this.#deps.streamLog.loadToRead(topic);
    if (stream === undefined) throw await missing(this.#deps.streamForks, topic);
    const count = countOf(stream, query);
    const start = { stream, count, cursor: query.cursor };
    if (isEventStream) {
      await openEventStream(this.#deps, request, reply, start);
      return reply;
    }
    const isWaiting = query.live === 'long-poll' && count === stream.tail && stream.state.closed !== true;
    const hasChanged = isWaiting && (await waitForChange(this.#deps, request, start));
    // The data of a long poll is one of the user's pages, which a wait is not.
    if (query.live === 'long-poll' && (hasChanged || !isWaiting)) await this.#deps.reads.admit(request, reply);
    if (reply.sent) return reply;
    return this.#send(request, reply, { query, stream: hasChanged ? await this.#again(stream) : stream, count });
  };

  /** The stream after a change. @throws StreamRefusal no-such-stream, offset-gone */
  async #again({ topic, epoch }: LoadedStream): Promise<LoadedStream> {
    const stream = await this.#deps.streamLog.load(topic);
    if (stream === undefined) throw await missing(this.#deps.streamForks, topic);
    if (stream.epoch !== epoch) throw new StreamRefusal('offset-gone');
    return stream;
  }

  async #send(
    request: StreamRequest,
    reply: FastifyReply,
    { query, stream, count }: { query: ReadQuery; stream: LoadedStream; count: number },
  ): Promise<FastifyReply> {
    const { reads, streamLog, clock, random } = this.#deps;
    const { principal } = identityOf(request);
    const chunk = await reads.inTurn(principal, () => streamLog.read(stream, count));
    if (chunk === 'gone') throw new StreamRefusal('no-such-stream');
    if (chunk === 'inside') throw new StreamRefusal('invalid-offset');
    const { appends, next } = chunk;
    const isAtEnd = next === stream.tail;
    const headers = {
      ...positionHeaders(stream, next),
      ...(isAtEnd ? { 'stream-up-to-date': 'true' } : {}),
      ...(query.live === undefined ? {} : { 'stream-cursor': nextCursor(clock.now(), query.cursor, random()) }),
    };
    if (query.live === 'long-poll' && appends.length === 0) return reply.code(204).headers(headers).send();
    const { type } = stream.config;
    reply.headers(headers);
    // The end of the stream moves on, so this answer is not for any cache.
    if (query.offset === 'now' && query.live === undefined)
      return reply.header('content-type', type).send(bodyOf(type, []));
    const etag = `"${stream.epoch}:${count}:${next}${isAtEnd && stream.state.closed === true ? ':closed' : ''}"`;
    reply.headers({ etag, 'cache-control': isAtEnd ? CACHE_AT_END : CACHE_BEFORE_END });
    if (isListed(request.headers['if-none-match'], etag)) return reply.code(304).send();
    return reply.header('content-type', type).send(bodyOf(type, appends));
  }
}

/** @throws StreamRefusal invalid-offset, offset-gone */
function countOf(stream: LoadedStream, { offset }: ReadQuery): number {
  if (offset === 'now') return stream.tail;
  const count = resolveOffset(stream, offset);
  if (count === 'gone') throw new StreamRefusal('offset-gone');
  if (count === 'beyond') throw new StreamRefusal('invalid-offset');
  return count;
}
