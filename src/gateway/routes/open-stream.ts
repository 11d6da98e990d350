// Opens a stream over HTTP, for every wire: authentication, admission, and the head of the response. All refusals are
// plain HTTP responses; after them the response is a stream, and the gateway drops the request's objects. [PROTOCOL §5]
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import type { Wire, WireEncoder } from '../../stream/projection.ts';
import { enter, type Admission, type CountedConnection } from '../limits/admission.ts';
import { untilItsTurn, type LastRequests } from '../http/answer-order.ts';
import type { Credentials } from '../auth/credentials.ts';
import { requireScope, type Identity } from '../auth/identity.ts';
import type { StreamCookie } from '../auth/stream-cookie.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import type { Connections } from '../connections/connections.ts';
import type { EventStreams, StreamOptions } from '../event-streams.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { forgetRequest } from '../http/forget-request.ts';
import type { Metrics } from '../metrics.ts';
import type { Readiness } from '../readiness.ts';
import { HttpStream, writeStreamHead, type StreamHeaders } from '../connections/http-stream.ts';

export interface StreamRoutesDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly credentials: Credentials;
  readonly tokens: TokenVerifier;
  readonly streamCookie: StreamCookie;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly streams: EventStreams;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly lastRequests: LastRequests;
}

/** The stream of one route, as its handler has prepared it. */
export interface PreparedStream extends Pick<StreamOptions, 'start' | 'onReset' | 'until' | 'cut' | 'isExact'> {
  readonly encoder: WireEncoder;
  /** Response headers in addition to those of the wire. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StreamRoute {
  readonly url: string;
  readonly wire: Wire;
  readonly sessionId: string;
  readonly ticket: string | undefined;
  /** Returns what the gateway streams, or throws the error of the response. For a POST it may send a prompt before:
   *  whatever fails behind that, the prompt is stored and its run continues. */
  readonly prepare: (identity: Identity) => Promise<PreparedStream>;
}

export async function openStream(
  deps: StreamRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  { url, wire, sessionId, ticket, prepare }: StreamRoute,
): Promise<void> {
  const { config, clock, random, readiness, credentials, admission, metrics } = deps;
  const { socket } = request.raw;
  const isHead = request.method === 'HEAD';
  if (!(await untilItsTurn(reply.raw, socket, clock))) {
    reply.hijack();
    return;
  }
  if (wire.framing === 'chunked') mustHaveChunks(request, reply);
  // A node that drains must not spend the ticket.
  readiness.mustNotDrain();
  // A HEAD request does not spend the ticket. A POST has the token that its route requires: cookies do not count.
  const { identity, byTicket } =
    request.identity === null
      ? await credentials.ofStream(request, isHead ? undefined : ticket)
      : { identity: request.identity, byTicket: false };
  requireScope(identity, 'chat');
  const entered = request.method === 'POST' ? enterFirst(deps, request, identity) : undefined;
  const { headers, ...stream } = await prepare(identity).catch((error: unknown) => {
    entered?.release();
    throw error;
  });
  if (entered === undefined) admission.check(request.ip, identity.principal);
  if (isHead) {
    reply.hijack();
    writeStreamHead(reply.raw, wire, { ...ownHeaders(reply), ...headers });
    reply.raw.end();
    return;
  }
  const counted = entered ?? enter(admission, request, identity);
  const cookie = byTicket
    ? deps.streamCookie.write(identity, sessionId, { now: clock.now(), secure: isOverTls(request, config) })
    : undefined;
  reply.hijack();
  deps.lastRequests.startStream(socket);
  const connection = new HttpStream(socket, {
    wire,
    encoder: stream.encoder,
    clock,
    heartbeatMs: config.sseHeartbeatMs,
    identity,
    tokens: deps.tokens,
    onClosed: (closed) => {
      counted.release();
      deps.connections.remove(closed);
    },
  });
  deps.connections.add(connection);
  metrics.onRequest(url, 200);
  const retryMs = Math.floor(config.sseRetryMs * (0.5 + random()));
  connection.open(
    reply.raw,
    { ...ownHeaders(reply), ...headers, ...(cookie === undefined ? {} : { 'set-cookie': cookie }) },
    retryMs,
  );
  forgetRequest(request.raw, reply.raw);
  void deps.streams.run({ ...stream, wire: wire.name, sink: connection, signal: connection.signal });
}

/** Counts the connection of a POST before its prompt is sent, so that a refused client may send the prompt again and an
 *  admitted one is not refused for a limit after its prompt is stored. @throws GatewayError node-full, too-many */
function enterFirst(
  { streams, admission }: Pick<StreamRoutesDeps, 'streams' | 'admission'>,
  request: FastifyRequest,
  identity: Identity,
): CountedConnection {
  streams.mustHaveRoom(identity);
  return enter(admission, request, identity);
}

/** @throws GatewayError upgrade-required: HTTP/1.0 has no chunks. [RFC 9112 §6.1, RFC 9110 §15.5.22] */
function mustHaveChunks(request: FastifyRequest, reply: FastifyReply): void {
  if (request.raw.httpVersion !== '1.0') return;
  reply.headers({ upgrade: 'HTTP/1.1', connection: 'upgrade, close' });
  throw new GatewayError('upgrade-required', { message: 'this stream needs HTTP/1.1' });
}

/** Requests through a proxy that ends TLS and is not configured arrive as plain HTTP, so the public URL counts as
 *  well. */
function isOverTls(request: FastifyRequest, { publicUrl }: GatewayConfig): boolean {
  return request.protocol === 'https' || publicUrl?.startsWith('https:') === true;
}

/** The headers that hooks have set on the reply. A hijacked response does not send them by itself. */
function ownHeaders(reply: FastifyReply): StreamHeaders {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = typeof value === 'number' ? String(value) : value;
  }
  return headers;
}
