// The security headers of every answer: no page of another origin can frame it, load it as a resource, or hold a handle
// to its window. A listed origin is not kept from the answers that it may read.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { gatewayConfig } from '../../src/gateway/gateway-config.ts';
import { buildHealthApp } from '../../src/gateway/health-app.ts';
import type { HttpApp } from '../../src/gateway/http/http-app.ts';
import { SECRET, startHarness, type Harness } from '../support/gateway-harness.ts';
import { sendRaw } from '../support/gateway-raw-http.ts';
import { SseClient } from '../support/gateway-sse-client.ts';

const LISTED = 'https://chat.example.com';

async function withPage(): Promise<Harness> {
  const demoFolder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  onTestFinished(() => rm(demoFolder, { recursive: true, force: true }));
  await writeFile(join(demoFolder, 'index.html'), '<p>page</p>');
  await writeFile(join(demoFolder, 'main.js'), '');
  return startHarness({ config: { origins: [LISTED] }, deps: { demoFolder } });
}

const ISOLATION = {
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
};

describe('the headers for browsers', () => {
  it.each([
    ['the page', '/', 200],
    ['an answer of the API', '/v1/sessions', 200],
    ['a refusal', '/v1/sessions/none', 404],
    ['an address that is none', '/nothing', 404],
    ['the description of the API', '/openapi.json', 200],
    ['the metrics', '/metrics', 200],
  ])('forbid frames, foreign loads and window handles on %s', async (_name, url, status) => {
    const h = await withPage();
    const answer = await h.call('GET', url, 'ann');
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject(ISOLATION);
    expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(answer.headers['permissions-policy']).toContain('microphone=()');
  });

  it('leave the demo page its own policy, which allows its scripts', async () => {
    const h = await withPage();
    expect((await h.call('GET', '/')).headers['content-security-policy']).toContain("default-src 'self'");
    expect((await h.call('GET', '/healthz')).headers['content-security-policy']).toContain("default-src 'none'");
  });

  it('are on a stream as well', async () => {
    const h = await withPage();
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    const { headers } = await stream.head;
    expect(Object.keys(ISOLATION).map((name) => headers.get(name))).toEqual(Object.values(ISOLATION));
  });

  it.each([
    [LISTED, 'cross-origin'],
    ['https://other.example.com', 'same-origin'],
    ['null', 'same-origin'],
  ])('let the origin %s load answers as %s', async (origin, policy) => {
    const h = await withPage();
    const answer = await h.gateway.app.inject({ url: '/healthz', headers: { origin } });
    expect(answer.headers['cross-origin-resource-policy']).toBe(policy);
  });
});

/** The headers of every answer on every port, as on the wire. */
const EVERYWHERE = [
  ...Object.entries(ISOLATION).map(([name, value]) => `${name}: ${value}`),
  'referrer-policy: no-referrer',
  'cache-control: no-store',
  'permissions-policy: camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
];

/** The headers of one answer. */
function linesOf(answer: string): { readonly status: string; readonly missing: readonly string[] } {
  const [status = '', ...lines] = answer.split('\r\n\r\n', 1)[0]?.split('\r\n') ?? [];
  const given = new Set(lines.map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase())));
  const missing = EVERYWHERE.filter((line) => !given.has(line));
  const framing = lines.some((line) => /^content-security-policy: .*frame-ancestors 'none'/i.test(line))
    ? []
    : ['frame-ancestors'];
  return { status: status.split(' ')[1] ?? '', missing: [...missing, ...framing] };
}

const HEAD = 'host: x\r\nconnection: close\r\n';

describe('on the wire, the headers for browsers are on', () => {
  it.each<[name: string, status: number, request: string]>([
    ['a refused method', 404, `DELETE /v1/agents HTTP/1.1\r\n${HEAD}\r\n`],
    ['a HEAD of the page', 200, `HEAD / HTTP/1.1\r\n${HEAD}\r\n`],
    ['a file beside the page', 200, `GET /main.js HTTP/1.1\r\n${HEAD}\r\n`],
    ['a caller without a token', 401, `GET /v1/sessions HTTP/1.1\r\n${HEAD}\r\n`],
    ['a stream without a token', 401, `GET /v1/sessions/s/events HTTP/1.1\r\n${HEAD}\r\n`],
    ['a path that is not well-formed', 400, `GET /%zz HTTP/1.1\r\n${HEAD}\r\n`],
    ['a path with a broken character in an id', 400, `GET /v1/sessions/%ff HTTP/1.1\r\n${HEAD}\r\n`],
    ['two hosts', 400, `GET /healthz HTTP/1.1\r\nhost: y\r\n${HEAD}\r\n`],
    ['bytes that are no request', 400, 'hello\r\n\r\n'],
    ['a head that is too large', 431, `GET / HTTP/1.1\r\n${HEAD}x: ${'x'.repeat(32 * 1024)}\r\n\r\n`],
    [
      'a WebSocket where there is none',
      404,
      'GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    ],
    [
      'a WebSocket from a foreign page',
      403,
      'GET /v1/ws HTTP/1.1\r\nhost: x\r\norigin: https://evil.example\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    ],
    [
      'a preflight of a foreign page',
      403,
      `OPTIONS /v1/sessions HTTP/1.1\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\n${HEAD}\r\n`,
    ],
  ])('%s: %i', async (_name, status, request) => {
    const { port } = await (await withPage()).listen();
    expect(linesOf(await sendRaw(port, request))).toEqual({ status: String(status), missing: [] });
  });
});

describe('the headers for browsers on a port for health and metrics', () => {
  const rows: readonly [string, number, string][] = [
    ['health', 200, `GET /healthz HTTP/1.1\r\n${HEAD}\r\n`],
    ['metrics', 200, `GET /metrics HTTP/1.1\r\n${HEAD}origin: https://evil.example\r\n\r\n`],
    ['an address that is none', 404, `GET / HTTP/1.1\r\n${HEAD}\r\n`],
    ['a path that is not well-formed', 400, `GET /%zz HTTP/1.1\r\n${HEAD}\r\n`],
    ['bytes that are no request', 400, 'hello\r\n\r\n'],
  ];

  async function portOf(app: HttpApp): Promise<number> {
    await app.listen({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => app.close());
    return (app.server.address() as AddressInfo).port;
  }

  it.each(rows)('of a gateway are on %s: %i', async (_name, status, request) => {
    const { gateway } = await startHarness({ config: { hasProbePort: true } });
    if (gateway.probes === undefined) throw new Error('no port for probes');
    expect(linesOf(await sendRaw(await portOf(gateway.probes), request))).toEqual({
      status: String(status),
      missing: [],
    });
  });

  it.each(rows)('of a worker are on %s: %i', async (_name, status, request) => {
    const { broker, clock } = await startHarness();
    const config = gatewayConfig({
      hosts: undefined,
      sessionIds: 'tenant',
      auth: { keys: { kind: 'secret', secret: SECRET } },
    });
    const { app } = buildHealthApp({
      config,
      broker,
      clock,
      logger: pino({ level: 'silent' }),
      newId: () => 'id',
      metrics: {},
    });
    expect(linesOf(await sendRaw(await portOf(app), request))).toEqual({ status: String(status), missing: [] });
  });
});
