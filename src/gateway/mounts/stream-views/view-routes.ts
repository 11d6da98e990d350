// GET /ds/runs/{sessionId}/{runId} and GET /ds/chats/{sessionId}: one answer, and a chat, as durable streams of JSON.
// Catch-up, long poll and event stream, as for every durable stream; anything else is refused.
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { encodeOffset } from '../../../durable-streams/offset-token.ts';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { ChatViewEncoder } from '../../../wires/durable-streams/chat-view.ts';
import { ChunkView } from '../../../wires/durable-streams/chunk-view.ts';
import { LiveOutput, viewWire } from '../../../wires/durable-streams/view-frames.ts';
import { CAPABILITY_CHARS_MAX, type RunCapabilities, type RunCapability } from '../../auth/run-capability.ts';
import { GatewayError } from '../../gateway-error.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { runIdSchema, sessionIdSchema, sessionParams } from '../../http/wire-schemas.ts';
import { openStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { nextCursor } from '../durable-streams/stream-cursor.ts';
import { StreamRefusal, sendRefusal } from '../durable-streams/stream-refusals.ts';
import { readQuery, type ReadQuery } from '../durable-streams/stream-requests.ts';
import { sendReply, type ReplyDeps, type ViewRead } from './view-reply.ts';

export interface ViewDeps extends StreamRoutesDeps, ReplyDeps {
  readonly runCapabilities: RunCapabilities;
}

export const RUNS_PREFIX = '/ds/runs';
export const CHATS_PREFIX = '/ds/chats';
const RUN_URL = '/:sessionId/:runId';
const CHAT_URL = '/:sessionId';

const runParams = Type.Object({ sessionId: sessionIdSchema, runId: runIdSchema });
const offsets = {
  offset: Type.Optional(Type.String({ maxLength: 64 })),
  live: Type.Optional(Type.String({ maxLength: 16 })),
  cursor: Type.Optional(Type.String({ maxLength: 16 })),
};
const runQuery = Type.Object({ ...offsets, cap: Type.Optional(Type.String({ maxLength: CAPABILITY_CHARS_MAX })) });

export function runViewRoute(app: HttpApp, deps: ViewDeps): void {
  const { streams } = deps;
  refuseWrites(app, RUN_URL);
  app.get(
    RUN_URL,
    { schema: { params: runParams, querystring: runQuery }, config: { access: 'own' }, exposeHeadRoute: false },
    (request, reply) =>
      refusing(reply, async () => {
        const { sessionId, runId } = request.params;
        const capability = await admit(deps, request, request.query.cap, sessionId, runId);
        const query = readQuery(request.query);
        const start = await streams.startAtRun(identityOf(request), sessionId, runId);
        const { epoch } = start.after;
        if (capability !== undefined && capability.epoch !== epoch) throw new StreamRefusal('offset-gone');
        const count = countOf(query, { epoch, next: start.topicInfo.next });
        const from = Math.max(capability?.from ?? -1, start.answer.queuedAt);
        // No reader of this URL has a position before the answer as it was.
        if (count > 0 && count <= from) throw new StreamRefusal('invalid-offset');
        const after = count === 0 ? undefined : count - 1;
        const { hasMetadata = false, canReset = false } = capability?.options ?? {};
        const view = { runId, from, after, hasMetadata, canReset, answered: capability?.answered };
        const encoder: ViewRead['encoder'] = (output, end) =>
          new ProjectedEncoder(new ChunkView({ ...view, end }, output));
        await send(deps, request, reply, `${RUNS_PREFIX}${RUN_URL}`, {
          start,
          query,
          count,
          epoch,
          cut: after ?? from,
          encoder,
        });
        return reply;
      }),
  );
}

export function chatViewRoute(app: HttpApp, deps: ViewDeps): void {
  refuseWrites(app, CHAT_URL);
  app.get(
    CHAT_URL,
    { schema: { params: sessionParams, querystring: Type.Object(offsets) }, exposeHeadRoute: false },
    (request, reply) =>
      refusing(reply, async () => {
        const query = readQuery(request.query);
        const { offset } = query;
        const isStart = offset === 'now' || offset.epoch === undefined || offset.count === 0;
        const after = offset === 'now' ? 'latest' : isStart ? 'earliest' : `${offset.epoch}.${offset.count - 1}`;
        const options = { after, cursor: undefined };
        const start = await deps.streams.start(identityOf(request), request.params.sessionId, options);
        const { topicInfo } = start;
        if (topicInfo === undefined) throw new StreamRefusal('offset-gone');
        const { epoch, next } = topicInfo;
        const count = countOf(query, { epoch, next });
        const encoder: ViewRead['encoder'] = (output, end) => new ChatViewEncoder(output, end, count);
        await send(deps, request, reply, `${CHATS_PREFIX}${CHAT_URL}`, { start, query, count, epoch, encoder });
        return reply;
      }),
  );
}

/** The identity of a capability, or else that of a token. Undefined: a token. @throws GatewayError unauthenticated */
async function admit(
  { runCapabilities, credentials, clock, tokens }: ViewDeps,
  request: FastifyRequest,
  text: string | undefined,
  sessionId: string,
  runId: string,
): Promise<RunCapability | undefined> {
  if (text === undefined) {
    request.identity = await credentials.ofRequest(request);
    return undefined;
  }
  const read = runCapabilities.read(text, clock.now());
  const isOfThis = read?.capability.sessionId === sessionId && read.capability.runId === runId;
  if (read === undefined || !isOfThis || !tokens.isStillGood(read.identity))
    throw new GatewayError('unauthenticated', { message: 'the capability of this URL is not valid here or any more' });
  request.identity = read.identity;
  return read.capability;
}

function identityOf({ identity }: FastifyRequest) {
  if (identity === null) throw new GatewayError('unauthenticated');
  return identity;
}

/** @throws StreamRefusal offset-gone, invalid-offset */
function countOf({ offset }: ReadQuery, { epoch, next }: { readonly epoch: string; readonly next: number }): number {
  if (offset === 'now') return next;
  if (offset.epoch !== undefined && offset.epoch !== epoch) throw new StreamRefusal('offset-gone');
  if (offset.count > next) throw new StreamRefusal('invalid-offset');
  return offset.count;
}

async function send(
  deps: ViewDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  url: string,
  read: ViewRead,
): Promise<void> {
  const { start, query, epoch, cut } = read;
  if (query.live !== 'sse') {
    await sendReply(deps, request, reply, read);
    return;
  }
  const { clock, random } = deps;
  deps.lastRequests.add(request.raw.socket);
  let cursor = Number(nextCursor(clock.now(), query.cursor, random()));
  const nextOne = (): string => {
    cursor = Math.max(cursor, Number(nextCursor(clock.now(), undefined, 0)));
    return String(cursor);
  };
  const encoder = read.encoder(new LiveOutput(epoch, nextOne), 'never');
  await openStream(deps, request, reply, {
    url,
    wire: viewWire,
    sessionId: start.ref.sessionId,
    ticket: undefined,
    prepare: async () => ({
      start,
      encoder,
      cut,
      headers: { 'stream-next-offset': encodeOffset(read.count, epoch) },
      onReset: 'close',
      until: 'forever',
    }),
  });
}

/** A view changes nothing. */
function refuseWrites(app: HttpApp, url: string): void {
  app.route({
    method: ['POST', 'PUT', 'DELETE', 'PATCH'],
    url,
    handler: async (_request, reply) =>
      reply
        .code(405)
        .header('allow', 'GET')
        .type('application/json; charset=utf-8')
        .send({ error: { code: 'read-only', message: 'this stream is a view: write to the chat', retryable: false } }),
  });
}

async function refusing(reply: FastifyReply, handle: () => Promise<FastifyReply>): Promise<FastifyReply> {
  try {
    return await handle();
  } catch (error) {
    if (error instanceof StreamRefusal) return sendRefusal(reply, error);
    throw error;
  }
}
