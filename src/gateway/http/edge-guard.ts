// Checks every request before a route receives it: is it for this server (Host), from a page that may call (Origin),
// and by whom (credentials). The checks run once, in this order, for HTTP requests and upgrades alike. A route cannot
// opt out of them; it only chooses its access.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { LastRequests } from './answer-order.ts';
import type { Credentials } from '../auth/credentials.ts';
import { requireScope } from '../auth/identity.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from './http-app.ts';
import type { Readiness } from '../readiness.ts';
import { refuseForeignUpgrade } from './upgrades.ts';

export interface EdgeGuardDeps {
  readonly config: Pick<GatewayConfig, 'hosts' | 'origins'>;
  readonly credentials: Credentials;
  readonly readiness: Readiness;
  readonly lastRequests: LastRequests;
}

/** How long browsers cache the answer to a preflight, in seconds. */
const PREFLIGHT_MAX_AGE_S = 600;

/** Request headers of Durable Streams. */
const STREAM_REQUEST_HEADERS =
  'stream-closed, stream-expires-at, stream-fork-offset, stream-fork-sub-offset, stream-forked-from, stream-seq, stream-ttl, ' +
  'producer-epoch, producer-id, producer-seq';

/** Response headers of Durable Streams. */
const STREAM_RESPONSE_HEADERS =
  'stream-closed, stream-cursor, stream-expires-at, stream-next-offset, stream-sse-data-encoding, stream-ttl, ' +
  'stream-up-to-date, producer-epoch, producer-expected-seq, producer-received-seq, producer-seq';

/** What a page may send: the headers of the native protocol, and those that the stock clients of the wires send. A
 *  wildcard would not cover `authorization`. */
const ALLOWED_HEADERS =
  'authorization, content-type, content-disposition, content-digest, if-none-match, if-range, last-event-id, range, ' +
  'idempotency-key, x-session-id, x-api-key, openai-beta, openai-organization, openai-project, x-stainless-arch, ' +
  'x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-retry-count, ' +
  'x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout, a2a-version, a2a-extensions, ' +
  `mcp-method, mcp-name, mcp-protocol-version, mcp-session-id, ${STREAM_REQUEST_HEADERS}`;

const EXPOSED_HEADERS =
  'retry-after, x-before, x-request-id, x-run-id, x-session-id, x-start-position, x-holdline-code, etag, location, ' +
  `content-location, content-range, content-disposition, ${STREAM_RESPONSE_HEADERS}`;

export function guardEdge(app: HttpApp, { config, credentials, readiness, lastRequests }: EdgeGuardDeps): void {
  app.decorateRequest('identity', null);
  app.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw;
    if (lastRequests.refuse(socket)) return reply.hijack();
    if (request.routeOptions.config.isLast === true) {
      lastRequests.add(socket);
      reply.header('connection', 'close');
    }
    reply.header('x-request-id', request.id);
    if (readiness.isDraining) reply.header('connection', 'close');
    refuseForeignHost(request, config.hosts);
    refuseForeignUpgrade(request.raw);
    const isAllowed = checkOrigin(request, reply, config.origins);
    if (isPreflight(request)) return answerPreflight(reply, isAllowed);
    if (isUpgrade(request) && !isAllowed) throw new GatewayError('origin-refused');
    const { access = 'chat' } = request.routeOptions.config;
    if (request.is404 || access === 'own' || access === 'open') return;
    const identity = await credentials.ofRequest(request);
    requireScope(identity, access);
    request.identity = identity;
  });
}

/** Refuses foreign host names. An attacker can point a DNS name of its own at this server, so that its page counts as
 *  the same origin and can read the answers. */
function refuseForeignHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  const { rawHeaders } = request.raw;
  const given = rawHeaders.filter((_, i) => i % 2 === 0 && rawHeaders[i]?.toLowerCase() === 'host').length;
  if (given > 1) throw new GatewayError('invalid-request', { message: 'more than one Host' });
  // Clients send whole URLs only to a proxy, and this server is not one.
  if (!request.raw.url?.startsWith('/'))
    throw new GatewayError('invalid-request', { message: 'the request target is not a path' });
  if (hosts === undefined) return;
  const name = (request.headers.host ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
  if (!hosts.includes(name)) throw new GatewayError('host-refused');
}

/** True when no page calls, or a page of this server or of a listed origin. Adds the CORS headers for a listed
 *  origin. */
function checkOrigin(request: FastifyRequest, reply: FastifyReply, origins: readonly string[]): boolean {
  reply.header('vary', 'Origin');
  const { origin, host } = request.headers;
  // The caller is a program and not a page, and has a token of its own.
  if (origin === undefined) return true;
  if (origins.includes(origin)) {
    reply
      .header('access-control-allow-origin', origin)
      // Without this header a browser withholds the answer from a page that isolates itself.
      .header('cross-origin-resource-policy', 'cross-origin')
      // For the cookie with which an EventSource reconnects. Browsers attach no other route's credentials by
      // themselves.
      .header('access-control-allow-credentials', 'true')
      .header('access-control-expose-headers', EXPOSED_HEADERS);
    return true;
  }
  return host !== undefined && /^https?:\/\/(.+)$/.exec(origin)?.[1] === host.toLowerCase();
}

function isPreflight(request: FastifyRequest): boolean {
  return (
    request.method === 'OPTIONS' &&
    request.headers.origin !== undefined &&
    request.headers['access-control-request-method'] !== undefined
  );
}

function answerPreflight(reply: FastifyReply, isAllowed: boolean): FastifyReply {
  if (!isAllowed) throw new GatewayError('origin-refused');
  return reply
    .code(204)
    .headers({
      'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
      'access-control-allow-headers': ALLOWED_HEADERS,
      'access-control-max-age': String(PREFLIGHT_MAX_AGE_S),
    })
    .send();
}

function isUpgrade(request: FastifyRequest): boolean {
  return request.headers.upgrade !== undefined;
}
