// A read of a view that is one reply: what is there from a position on, or, for a long poll, the first that comes.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { encodeOffset } from '../../../durable-streams/offset-token.ts';
import { StopController } from '../../../base/stop-signal.ts';
import type { WireEncoder } from '../../../stream/projection.ts';
import { ReplyOutput, type ViewEnd, type ViewOutput } from '../../../wires/durable-streams/view-frames.ts';
import type { StreamStart } from '../../event-streams.ts';
import type { ReadQuery } from '../durable-streams/stream-requests.ts';
import { SessionError } from '../../../session/errors.ts';
import type { StreamRoutesDeps } from '../../routes/open-stream.ts';
import type { PageReads } from '../../http/page-reads.ts';
import { identityOf } from '../../http/http-app.ts';
import { GatewayError } from '../../gateway-error.ts';
import { readUntilOver } from '../../run-reads.ts';
import { nextCursor } from '../durable-streams/stream-cursor.ts';
import { isListed } from '../../../base/entity-tag.ts';
import type { Connection } from '../../connections/connections.ts';

export interface ReplyDeps extends StreamRoutesDeps {
  readonly reads: PageReads;
}

/** What a reader of a view reads, from which place on. */
export interface ViewRead {
  readonly start: StreamStart;
  readonly query: ReadQuery;
  /** The number of records that the reader has. */
  readonly count: number;
  readonly epoch: string;
  readonly cut?: number;
  readonly encoder: (output: ViewOutput, end: ViewEnd) => WireEncoder;
}

export async function sendReply(
  deps: ReplyDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  read: ViewRead,
): Promise<FastifyReply> {
  const { query, count, epoch } = read;
  const isPoll = query.live === 'long-poll';
  const output = isPoll ? await poll(deps, request, read) : await readPage(deps, request, reply, read);
  if (output === undefined || reply.sent) return reply;
  const { next, isUpToDate, isClosed } = output.state;
  reply.headers({
    'stream-next-offset': encodeOffset(next, epoch),
    ...(isUpToDate ? { 'stream-up-to-date': 'true' } : {}),
    ...(isClosed ? { 'stream-closed': 'true' } : {}),
    ...(isPoll ? { 'stream-cursor': nextCursor(deps.clock.now(), query.cursor, deps.random()) } : {}),
    'cache-control': 'private, no-cache',
  });
  if (isPoll && output.messages.length === 0) return reply.code(204).send();
  // The messages of one range are merged differently at each reading, so the tag names the range.
  const etag = `"${epoch}:${count}:${next}${isClosed ? ':closed' : ''}"`;
  reply.header('etag', etag);
  if (isListed(request.headers['if-none-match'], etag)) return reply.code(304).send();
  return reply.type('application/json').send(`[${output.messages.join(',')}]`);
}

async function readPage(
  deps: ReplyDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  read: ViewRead,
): Promise<ReplyOutput | undefined> {
  await deps.reads.admit(request, reply);
  return reply.sent ? undefined : gather(deps, request, read, 'caught-up', new StopController());
}

/** A poll is a connection of its user while it waits. */
async function poll(deps: ReplyDeps, request: FastifyRequest, read: ViewRead): Promise<ReplyOutput> {
  const { admission, connections, clock, config, tokens } = deps;
  const identity = identityOf(request);
  deps.readiness.mustNotDrain();
  admission.check(request.ip, identity.principal);
  const counted = admission.enter(request.ip);
  const gone = new StopController();
  const stop = (): void => gone.abort();
  const connection: Connection = {
    wire: 'durable-streams',
    onPulse: () => (tokens.isStillGood(identity) ? undefined : stop()),
    askToReconnect: stop,
    destroy: () => request.raw.socket.destroy(),
  };
  const timer = clock.after(config.longPollMs, stop);
  try {
    counted.assign(identity.principal);
    connections.add(connection);
    return await gather(deps, request, read, 'news', gone);
  } finally {
    timer.cancel();
    connections.remove(connection);
    counted.release();
  }
}

/** @throws SessionError not-found: the chat was removed meanwhile; GatewayError internal */
async function gather(
  { streams }: ReplyDeps,
  request: FastifyRequest,
  { start, count, cut, encoder }: ViewRead,
  end: 'caught-up' | 'news',
  gone: StopController,
): Promise<ReplyOutput> {
  const output = new ReplyOutput(count);
  const options = { start: { ...start, isResuming: false }, wire: 'durable-streams', cut } as const;
  const ended = await readUntilOver(streams, request, { ...options, encoder: encoder(output, end) }, gone);
  if (ended === 'removed') throw new SessionError('not-found');
  if (ended === 'failed') throw new GatewayError('internal');
  return output;
}
