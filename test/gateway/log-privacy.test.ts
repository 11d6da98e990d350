// What the log contains of a request: no secret, no text without a bound, and no alarm for a client that disconnected.
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { privateLogging } from '../../src/gateway/http/log-privacy.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { sendRaw } from '../support/gateway-raw-http.ts';

const UPGRADE =
  'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

describe('a log line', () => {
  it.each(['', UPGRADE])('never has the query of a URL, whatever was asked for (%j)', async (headers) => {
    const h = await startHarness();
    const { port } = await h.listen();
    const canary = 'eyJjanaryOfThisTest';
    const paths = [
      '/',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/nothing',
      '/v1/ws',
      '/v1/ws/',
      '/v1/sessions',
      '/v1/sessions/s/events',
      '/%zz',
      '//',
      '/v1/tickets',
    ];
    for (const path of paths) {
      // The socket opens when the URL has no token.
      for (const query of path === '/v1/ws' ? ['ticket', 'token'] : ['ticket', 'token', 'lastEventId', 'x']) {
        for (const method of ['GET', 'POST', 'HEAD', 'OPTIONS'])
          await sendRaw(
            port,
            `${method} ${path}?${query}=${canary} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`,
          );
      }
    }
    expect(h.logged.filter((line) => line.includes(canary))).toEqual([]);
  });

  it('stays short when the path is long', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    for (const headers of ['', UPGRADE])
      await sendRaw(port, `GET /${'p'.repeat(15_000)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`);
    expect(Math.max(0, ...h.logged.map((line) => line.length))).toBeLessThan(1_000);
  });

  it.each<[string, (logger: pino.Logger) => void]>([
    [
      'in a message',
      (logger) =>
        logger.warn(
          'Reply was already sent, did you forget to "return reply" in the "/v1/ws?ticket=canary" (GET) route?',
        ),
    ],
    [
      'in a message behind fields',
      (logger) => logger.warn({ a: 1 }, 'no answer for http://x/v1/ws?ticket=canary in time'),
    ],
    ['in an error', (logger) => logger.error({ err: new Error('cannot route "/v1/ws?ticket=canary"') })],
    ['in a field', (logger) => logger.info({ url: '/v1/ws?ticket=canary', path: '/v1/ws?ticket=canary' }, 'asked')],
    [
      'in a line of a child',
      (logger) => logger.child({ reqId: 1 }).info({ path: '/v1/ws?ticket=canary' }, 'asked for /v1/ws?ticket=canary'),
    ],
  ])('leaves out a query that a library puts %s', (_where, write) => {
    const lines: string[] = [];
    write(pino(privateLogging, { write: (line: string) => void lines.push(line) }));
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('canary');
    expect(lines[0]).toContain('/v1/ws');
  });
});

describe('a client that disconnects', () => {
  it.each([
    ['in the middle of a body', 'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"a":'],
    ['in the middle of a chunk', 'content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{"a":'],
  ])('%s is no error of the server', async (_when, rest) => {
    const h = await startHarness();
    const { port } = await h.listen();
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(`POST /v1/sessions HTTP/1.1\r\nhost: x\r\nauthorization: ${h.bearer('ann')}\r\n${rest}`);
    await eventually(
      async () =>
        new Promise<boolean>((resolve) => h.gateway.app.server.getConnections((_error, count) => resolve(count === 1))),
    );
    await h.call('GET', '/healthz');
    socket.resetAndDestroy();
    await eventually(async () => Promise.resolve(h.logged.some((line) => line.includes('the client went away'))));
    const line = h.logged.find((one) => one.includes('the client went away')) ?? '';
    expect(line).toContain('"level":20');
    expect(line).not.toContain('stack');
    expect(h.logged.filter((one) => /"level":[3-6]0/.test(one) && !one.includes('Server listening'))).toEqual([]);
  });
});
