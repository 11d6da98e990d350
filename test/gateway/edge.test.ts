// The checks of every request: host names, origins, headers, bodies, and bytes that are not a request.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LOOPBACK_HOSTS } from '../../src/gateway/gateway-config.ts';
import { JSON_DEPTH_MAX } from '../../src/gateway/json/json-bounds.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { sendRaw, statusesOf } from '../support/gateway-raw-http.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

interface Plain {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly code: string | undefined;
}

async function ask(
  h: Harness,
  url: string,
  headers: Readonly<Record<string, string>>,
  method: 'GET' | 'OPTIONS' = 'GET',
): Promise<Plain> {
  const answer = await h.gateway.app.inject({ method, url, headers });
  const isJson = String(answer.headers['content-type']).startsWith('application/json');
  const code = isJson ? answer.json<{ error?: { code: string } }>().error?.code : undefined;
  return { status: answer.statusCode, headers: answer.headers, code };
}

describe('a server for its own machine only', () => {
  it.each(['127.0.0.1', '127.0.0.1:8080', 'localhost', 'LOCALHOST:1', '[::1]', '[::1]:65535'])(
    'answers to %s',
    async (host) => {
      const h = await startHarness({ config: { hosts: LOOPBACK_HOSTS } });
      expect((await ask(h, '/healthz', { host })).status).toBe(200);
    },
  );

  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'localhost:80.evil.example',
    'evil.example:80@localhost',
    'localhost:',
    'localhost:123456',
    'xlocalhost',
    '127.0.0.2',
    '::1',
    '0.0.0.0',
    'localhost, evil.example',
  ])('does not answer to %j', async (host) => {
    const h = await startHarness({ config: { hosts: LOOPBACK_HOSTS } });
    const { status, code } = await ask(h, '/v1/sessions', { host, authorization: h.bearer('ann') });
    expect([status, code]).toEqual([421, 'host-refused']);
  });

  it('ignores the headers of a proxy that is not configured', async () => {
    const h = await startHarness({ config: { hosts: LOOPBACK_HOSTS } });
    expect((await ask(h, '/healthz', { host: 'evil.example', 'x-forwarded-host': 'localhost' })).status).toBe(421);
  });

  it('applies the same check to sockets', async () => {
    const h = await startHarness({ config: { hosts: LOOPBACK_HOSTS } });
    const { wsUrl } = await h.listen();
    const authorization = h.bearer('ann');
    await expect(WsClient.open(wsUrl, { headers: { host: 'evil.example', authorization } })).rejects.toMatchObject({
      status: 421,
    });
    await WsClient.open(wsUrl, { headers: { authorization } });
  });
});

const LISTED = 'https://app.example.com';
const ORIGINS: readonly [origin: string, allowed: boolean][] = [
  [LISTED, true],
  ['https://app.example.com:443', false],
  ['https://app.example.com:8443', false],
  ['http://app.example.com', false],
  ['https://APP.example.com', false],
  ['https://app.example.com.evil.com', false],
  ['https://evil.com/app.example.com', false],
  ['https://xapp.example.com', false],
  ['https://sub.app.example.com', false],
  ['https://app.example.com/', false],
  ['https://app.example.com,https://evil.com', false],
  ['null', false],
  ['', false],
  ['file://', false],
  ['*', false],
];

describe('a page of another origin', () => {
  it.each(ORIGINS)('%j may read answers: %s', async (origin, allowed) => {
    const h = await startHarness({ config: { origins: [LISTED] } });
    const { headers } = await ask(h, '/v1/sessions', { origin, authorization: h.bearer('ann') });
    expect(headers['access-control-allow-origin']).toBe(allowed ? origin : undefined);
    // Without this header a browser withholds the answer from an EventSource that sends its cookie.
    expect(headers['access-control-allow-credentials']).toBe(allowed ? 'true' : undefined);
    expect(headers['vary']).toBe('Origin');
  });

  it.each(ORIGINS)('%j may ask before it calls: %s', async (origin, allowed) => {
    const h = await startHarness({ config: { origins: [LISTED] } });
    const asked = {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'last-event-id, x-evil',
    };
    const { status, headers, code } = await ask(h, '/v1/sessions/s/events', asked, 'OPTIONS');
    expect([status, code]).toEqual(allowed ? [204, undefined] : [403, 'origin-refused']);
    if (!allowed) return;
    expect(headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
    });
    const names = String(headers['access-control-allow-headers']).split(', ');
    for (const name of [
      'authorization',
      'last-event-id',
      'idempotency-key',
      'x-api-key',
      'a2a-version',
      'producer-seq',
    ])
      expect(names).toContain(name);
    expect(names).not.toContain('x-evil');
  });

  it.each(ORIGINS)('%j may open a socket: %s', async (origin, allowed) => {
    const h = await startHarness({ config: { origins: [LISTED] } });
    const { wsUrl } = await h.listen();
    const opened = WsClient.open(wsUrl, { headers: { origin, authorization: h.bearer('ann') } });
    if (allowed) await opened;
    else await expect(opened).rejects.toMatchObject({ status: 403 });
  });

  it('may read streams, and errors, where it is listed', async () => {
    const h = await startHarness({ config: { origins: [LISTED] } });
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', {
      origin: LISTED,
      authorization: h.bearer('ann'),
    });
    expect((await stream.head).headers.get('access-control-allow-origin')).toBe(LISTED);
    expect((await ask(h, '/v1/sessions', { origin: LISTED })).headers['access-control-allow-origin']).toBe(LISTED);
  });
});

describe('a page of this server', () => {
  it('may open a socket under any host name of the server', async () => {
    const h = await startHarness();
    const { port, wsUrl } = await h.listen();
    await WsClient.open(wsUrl, { headers: { origin: `http://127.0.0.1:${port}` } });
    await WsClient.open(wsUrl, { headers: { origin: 'https://chat.example', host: 'chat.example' } });
    await expect(WsClient.open(wsUrl, { headers: { origin: `http://127.0.0.1:${port + 1}` } })).rejects.toMatchObject({
      status: 403,
    });
  });

  it('is served from its folder, under a policy that allows connections to this server only', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdline-page-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'index.html'), '<p>hello</p>');
    writeFileSync(join(folder, 'app.js'), 'void 0');
    writeFileSync(join(folder, '.secret'), 'no');
    const h = await startHarness({ deps: { demoFolder: folder } });
    const page = await h.gateway.app.inject({ url: '/', headers: { host: 'chat.example:8080' } });
    expect([page.statusCode, page.body]).toEqual([200, '<p>hello</p>']);
    expect(page.headers['content-security-policy']).toBe(
      "default-src 'self'; img-src 'self' data:; style-src 'self'; connect-src 'self' ws://chat.example:8080 wss://chat.example:8080; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    const odd = await h.gateway.app.inject({ url: '/', headers: { host: "x; script-src 'unsafe-inline'" } });
    expect(odd.headers['content-security-policy']).not.toContain('unsafe-inline');
    expect((await h.call('GET', '/app.js')).status).toBe(200);
    for (const url of ['/.secret', '/../package.json', '/%2e%2e/package.json', '/nothing.js'])
      expect((await h.call('GET', url)).status).toBe(404);
    expect((await h.call('GET', '/v1/sessions')).status).toBe(401);
  });

  it('is not required', async () => {
    const h = await startHarness({ deps: { demoFolder: '/nowhere' } });
    expect((await h.call('GET', '/')).status).toBe(404);
  });
});

it('every answer has the security headers', async () => {
  const h = await startHarness();
  for (const url of ['/healthz', '/v1/sessions', '/nothing', '/openapi.json']) {
    expect((await h.call('GET', url)).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  }
});

describe('HEAD', () => {
  const ROUTES = [
    '/healthz',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/v1/sessions',
    '/v1/sessions/s',
    '/v1/sessions/s/messages',
    '/v1/sessions/s/branches',
    '/v1/sessions/s/runs',
    '/v1/sessions/s/cursors/c',
    '/v1/ws',
    '/',
    '/v1/sessions/gone',
  ];
  it.each(ROUTES)('of %s is answered like GET, without a body', async (url) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdline-page-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'index.html'), '<p>hello</p>');
    const h = await startHarness({ deps: { demoFolder: folder } });
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    await h.call('PUT', '/v1/sessions/s/cursors/c', 'ann', { position: 'latest' });
    const headers = { authorization: h.bearer('ann') };
    const get = await h.gateway.app.inject({ method: 'GET', url, headers });
    const head = await h.gateway.app.inject({ method: 'HEAD', url, headers });
    expect([head.statusCode, head.body]).toEqual([get.statusCode, '']);
    const shared = (given: Readonly<Record<string, unknown>>): unknown => ({
      ...given,
      'x-request-id': '',
      date: '',
      'content-length': url === '/metrics' ? '' : given['content-length'],
    });
    expect(shared(head.headers)).toEqual(shared(get.headers));
  });

  it('of an unknown path has no body either', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    const answer = await sendRaw(port, 'HEAD /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect(statusesOf(answer)).toEqual([404]);
    expect(answer.endsWith('\r\n\r\n')).toBe(true);
  });

  it('reports that a node is not ready', async () => {
    const h = await startHarness();
    void h.gateway.drain({ windowMs: 0, deadlineMs: 0 });
    expect((await h.gateway.app.inject({ method: 'HEAD', url: '/readyz' })).statusCode).toBe(503);
  });

  it('needs a token when GET needs one', async () => {
    const h = await startHarness();
    expect((await h.gateway.app.inject({ method: 'HEAD', url: '/v1/sessions' })).statusCode).toBe(401);
  });
});

describe('an upgrade at an address that is not the one of the socket', () => {
  const upgrade = (path: string, extra = ''): string =>
    `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${extra}\r\n`;

  it.each([
    '/',
    '/healthz',
    '/metrics',
    '/openapi.json',
    '/v1/sessions',
    '/v1/sessions/s/events',
    '/nothing',
    '/v1/ws/',
    '/v1/WS',
    '/v1/w%73',
  ])('%s is refused, and the connection ends', async (path) => {
    const h = await startHarness();
    const { port } = await h.listen();
    const answer = await sendRaw(port, upgrade(`${path}?ticket=canary`, `authorization: ${h.bearer('ann')}\r\n`));
    expect(statusesOf(answer)).toEqual([404]);
    expect(h.logged.join('')).not.toContain('canary');
  });

  it('is answered as a plain request when it is not for a WebSocket', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    const ask = async (path: string): Promise<number[]> =>
      statusesOf(
        await sendRaw(
          port,
          `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n`,
        ),
      );
    expect([await ask('/healthz'), await ask('/v1/ws'), await ask('/v1/sessions')]).toEqual([[200], [426], [401]]);
  });

  it('is refused with another method as well', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    expect(statusesOf(await sendRaw(port, upgrade('/v1/ws').replace('GET', 'POST')))).toEqual([404]);
    expect(statusesOf(await sendRaw(port, upgrade('/v1/ws').replace('GET', 'HEAD')))).toEqual([426]);
  });
});

it('the client address comes from a proxy only when the proxy is configured', async () => {
  const limits = { connectionsPerAddressMax: 1 };
  const statuses = async (trustedProxies: readonly string[]): Promise<number[]> => {
    const h = await startHarness({ config: { ...limits, trustedProxies } });
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const heads: number[] = [];
    for (const address of ['10.0.0.1', '10.0.0.2']) {
      const stream = await SseClient.open(port, '/v1/sessions/s/events', {
        authorization: h.bearer('ann'),
        'x-forwarded-for': address,
      });
      heads.push((await stream.head).status);
    }
    return heads;
  };
  expect(await statuses([])).toEqual([200, 429]);
  expect(await statuses(['127.0.0.0/8'])).toEqual([200, 200]);
});

describe('bodies', () => {
  async function post(
    h: Harness,
    payload: string | Buffer,
    contentType?: string,
  ): Promise<{ status: number; code: string | undefined; message?: string | undefined }> {
    const answer = await h.gateway.app.inject({
      method: 'POST',
      url: '/v1/sessions',
      payload,
      headers: {
        authorization: h.bearer('ann'),
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
      },
    });
    const { error } = answer.json<{ error?: { code: string; message: string } }>();
    return { status: answer.statusCode, code: error?.code, message: error?.message };
  }

  it.each(['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON'])('come as %s', async (type) => {
    const h = await startHarness();
    expect((await post(h, '{}', type)).status).toBe(201);
  });

  it.each([
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json+x',
    'application/ld+json',
    'application/json garbage',
    'application/json\ta',
    'json',
    '*/*',
  ])('do not come as %j: 415', async (type) => {
    const h = await startHarness();
    expect(await post(h, '{}', type)).toMatchObject({ status: 415, code: 'unsupported-media-type' });
  });

  it('are refused without a content type: 415', async () => {
    const h = await startHarness();
    expect(await post(h, '{}')).toMatchObject({ status: 415, code: 'unsupported-media-type' });
  });

  it.each<[string, string | Buffer]>([
    ['half of one', '{"title":'],
    ['two', '{}{}'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0x74, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d])],
    ['with __proto__', '{"__proto__":{"x":1}}'],
    ['with a hidden __proto__', '{"metadata":{"\\u005f_proto__":1}}'],
    ['with constructor.prototype', '{"metadata":{"constructor":{"prototype":{}}}}'],
    ['numbers no JSON has', '{"ttlMs":NaN}'],
  ])('are JSON, not %s: 400', async (_name, body) => {
    const h = await startHarness();
    expect(await post(h, body, 'application/json')).toMatchObject({ status: 400, code: 'invalid-json' });
  });

  it('are refused with the limit when they are nested too deep, whatever follows', async () => {
    const h = await startHarness();
    const deep = '['.repeat(100_000);
    for (const body of [`{"metadata":{"x":${deep}${']'.repeat(100_000)}}}`, `{"metadata":{"x":${deep}`])
      expect(await post(h, body, 'application/json')).toMatchObject({
        status: 400,
        code: 'json-too-deep',
        message: `JSON of more than ${JSON_DEPTH_MAX} levels is not read`,
      });
  });

  it('are refused above their limit: 413', async () => {
    const h = await startHarness({ config: { bodyBytesMax: 1000 } });
    expect(await post(h, JSON.stringify({ pad: 'x'.repeat(1000) }), 'application/json')).toMatchObject({
      status: 413,
      code: 'too-large',
      message: 'the request is too large: its body has at most 1000 bytes',
    });
    const { port } = await h.listen();
    const head = `POST /v1/sessions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: ${h.bearer('ann')}\r\ncontent-type: application/json\r\n`;
    expect(statusesOf(await sendRaw(port, `${head}content-length: 100000\r\n\r\n`))).toEqual([413]);
    expect(
      statusesOf(
        await sendRaw(port, `${head}transfer-encoding: chunked\r\n\r\n800\r\n${'x'.repeat(0x800)}\r\n0\r\n\r\n`),
      ),
    ).toEqual([413]);
  });
});

describe('bytes that are not a request', () => {
  const good = 'GET /healthz HTTP/1.1\r\nhost: x\r\n';
  it.each<[string, string, number]>([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['two hosts', `${good}host: y\r\nconnection: close\r\n\r\n`, 400],
    ['a whole URL', 'GET http://evil.example/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
    ['a star', 'GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 0],
    [
      'a length and chunks',
      `POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['two lengths', `POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc`, 400],
    ['a length that is none', `POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc`, 400],
    [
      'chunks that are not the last encoding',
      `POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a chunk size that is none',
      `POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n`,
      400,
    ],
    ['a folded header', `${good}x-a: b\r\n c\r\n\r\n`, 400],
    ['a space before the colon', `${good}x-a : b\r\n\r\n`, 400],
    ['a header without a name', `${good}: b\r\n\r\n`, 400],
    ['a NUL in a header', `${good}x-a: b\0c\r\n\r\n`, 400],
    ['lines that end in CR only', 'GET /healthz HTTP/1.1\rhost: x\r\r', 400],
    ['headers without end', `${good}x: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s', async (_name, bytes, status) => {
    const h = await startHarness();
    const { port } = await h.listen();
    const answer = await sendRaw(port, bytes);
    // A server may close without an answer; it must not answer with anything else, and not twice.
    expect(status === 0 ? [] : [status]).toEqual(statusesOf(answer));
    if (status !== 0 && answer.includes('application/json'))
      expect(answer).toMatch(/"error":\{"code":"(invalid-request|headers-too-large)"/);
    expect(answer).not.toContain('at ');
    expect((await h.call('GET', '/healthz')).status).toBe(200);
  });

  it('a request hidden in the body of another is part of that body', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    const hidden = 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n';
    const answer = await sendRaw(
      port,
      `POST /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    );
    expect(statusesOf(answer)).toEqual([400]);
  });
});

describe('slow requests', () => {
  it('are cut, body or headers, while another stream continues', async () => {
    const h = await startHarness({ config: { headersTimeoutMs: 100, requestTimeoutMs: 200 } });
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    await stream.live();
    const slowHead = await sendRaw(port, 'GET /healthz HTTP/1.1\r\nhost: x\r\n');
    const slowBody = await sendRaw(
      port,
      `POST /v1/sessions HTTP/1.1\r\nhost: x\r\nauthorization: ${h.bearer('ann')}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{`,
    );
    expect([statusesOf(slowHead), statusesOf(slowBody)]).toEqual([[408], [408]]);
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    await stream.events.first((one) => one.event === 'run.queued');
  });

  it('have limits that Node applies: the headers less than the whole', async () => {
    const { headersTimeout, requestTimeout, keepAliveTimeout, timeout } = (await startHarness()).gateway.app.server;
    expect({ headersTimeout, requestTimeout, keepAliveTimeout, timeout }).toEqual({
      headersTimeout: 5_000,
      requestTimeout: 15_000,
      keepAliveTimeout: 65_000,
      timeout: 0,
    });
  });

  it('closing does not wait for a stream, a socket, or a request that never ends', async () => {
    const h = await startHarness();
    const { port, wsUrl } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    await stream.live();
    const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('ann') } });
    client.socket.pause();
    const request = httpRequest({
      port,
      method: 'POST',
      path: '/v1/sessions',
      headers: { authorization: h.bearer('ann'), 'content-type': 'application/json' },
    });
    request.on('error', () => undefined);
    request.write('{');
    await h.gateway.app.close();
    await stream.events.ended();
    client.socket.resume();
    expect((await client.closed).code).toBe(1006);
  });
});
