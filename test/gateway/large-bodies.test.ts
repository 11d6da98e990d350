// A body above the limit of its route, over real sockets: the client reads the refusal also where it sends its whole
// body first, and no client holds a connection by it. The routes are those that the gateway registers.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  UNREAD_BODIES_PER_CALLER_MAX,
  UNREAD_BODY_MS_MAX,
  UNREAD_BYTES_MAX,
} from '../../src/gateway/bodies/unread-bodies.ts';
import type * as HttpAppModule from '../../src/gateway/http/http-app.ts';
import { startHarness, type Harness, type HarnessOptions } from '../support/gateway-harness.ts';
import { statusesOf } from '../support/gateway-raw-http.ts';

const registered: string[] = [];

vi.mock('../../src/gateway/http/http-app.ts', async (importOriginal) => {
  const original = await importOriginal<typeof HttpAppModule>();
  const createHttpApp: typeof original.createHttpApp = (...args) => {
    const app = original.createHttpApp(...args);
    app.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) registered.push(`${one} ${url}`);
    });
    return app;
  };
  return { ...original, createHttpApp };
});

const config = { bodyBytesMax: 10_000, wireBodyBytesMax: 20_000, attachmentBytesMax: 10_000 };

/** More than the buffers of both sockets take, so a client cannot write it all while the server does not read. */
const BODY_BYTES = 6 * 1024 * 1024;

const SHAPES: Readonly<Record<string, unknown>> = {
  '/langgraph': { code: 'too-large', detail: expect.any(String) as string },
  '/mcp': { jsonrpc: '2.0', error: { message: expect.any(String) as string } },
  '/openai/v1': { error: { code: 'too-large', type: 'invalid_request_error' } },
  '/a2a': { error: { message: expect.any(String) as string } },
  '/ag-ui': { error: { code: 'too-large' } },
  '/ds/chats': { error: { code: 'too-large' } },
  // A page with useChat: plain text.
  '/ds/chat': undefined,
  '/ds': { error: { code: 'too-large' } },
  '/v1': { error: { code: 'too-large', retryable: false } },
};

const UPLOAD = 'POST /v1/sessions/:sessionId/attachments';

/** The routes with a body, each with a path. */
function routesWithBody(): readonly (readonly [route: string, method: string, path: string])[] {
  return [...new Set(registered)].flatMap((route) => {
    const [method = '', url = ''] = route.split(' ');
    if (!['POST', 'PUT', 'PATCH'].includes(method)) return [];
    const path = url
      .replaceAll('::', '\0')
      .replaceAll(':agent', 'default')
      .replace(/:\w+|\*/g, 'none')
      .replaceAll('\0', ':');
    return [[route, method, path] as const];
  });
}

async function start(options: HarnessOptions = {}): Promise<{ readonly h: Harness; readonly port: number }> {
  registered.length = 0;
  const h = await startHarness({ ...options, config: { ...config, ...options.config } });
  return { h, ...(await h.listen()) };
}

function headOf(h: Harness, method: string, path: string, more: string): string {
  const authorization = h.bearer('ann', { scope: 'chat admin' });
  return `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\n${more}\r\n\r\n`;
}

function open(port: number, allowHalfOpen = false): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Sends all and reads nothing before, as most clients do; then reads until the server closes. */
async function sendAllThenRead(port: number, head: string, body: Buffer): Promise<string> {
  const socket = open(port);
  await once(socket, 'connect');
  socket.pause();
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.write(head);
    socket.write(body, (error) => (error ? reject(error) : resolve()));
  });
  return readToEnd(socket);
}

async function readToEnd(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

function bodyOf(answer: string): unknown {
  const text = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  return text.startsWith('{') ? (JSON.parse(text) as unknown) : text;
}

function shapeOf(path: string): unknown {
  return SHAPES[Object.keys(SHAPES).find((prefix) => path.startsWith(prefix)) ?? ''];
}

const body = Buffer.alloc(BODY_BYTES, ' ');
const chunked = Buffer.concat([Buffer.from(`${BODY_BYTES.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]);

describe('a body above the limit', () => {
  it('is refused with 413 in the shape of the wire on every route, to clients that send all of it first', async () => {
    const { h, port } = await start();
    const routes = routesWithBody();
    expect(routes.length).toBeGreaterThan(25);
    for (const [route, method, path] of routes) {
      const withLength = await sendAllThenRead(port, headOf(h, method, path, `content-length: ${BODY_BYTES}`), body);
      const inChunks = await sendAllThenRead(port, headOf(h, method, path, 'transfer-encoding: chunked'), chunked);
      expect([route, statusesOf(withLength)]).toEqual([route, [413]]);
      expect([route, statusesOf(inChunks)]).toEqual([route, [route === UPLOAD ? 411 : 413]]);
      const shape = shapeOf(path);
      if (shape === undefined) expect(bodyOf(withLength)).toMatch(/too large/);
      else expect([route, bodyOf(withLength)]).toMatchObject([route, shape]);
      if (route !== UPLOAD) expect([route, bodyOf(inChunks)]).toEqual([route, bodyOf(withLength)]);
    }
  });

  it('is refused to fetch as well', async () => {
    const { h, port } = await start();
    for (const [route, method, path] of routesWithBody()) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        body,
        headers: { authorization: h.bearer('ann', { scope: 'chat admin' }), 'content-type': 'application/json' },
      });
      expect([route, answer.status]).toEqual([route, 413]);
      await answer.arrayBuffer();
    }
  });

  it('is refused by its declared length before any of it is sent', async () => {
    const { h, port } = await start();
    const socket = open(port);
    socket.write(headOf(h, 'POST', '/v1/sessions', 'content-length: 10001'));
    expect(statusesOf(await readToEnd(socket))).toEqual([413]);
  });

  it('is not followed by another request of its connection', async () => {
    const { h, port } = await start();
    const socket = open(port);
    const second = headOf(h, 'POST', '/v1/sessions/second/messages', 'content-length: 15') + '{"content":"x"}';
    socket.write(`${headOf(h, 'POST', '/v1/sessions', 'content-length: 10001')}${' '.repeat(10_001)}${second}`);
    expect(statusesOf(await readToEnd(socket))).toEqual([413]);
    expect((await h.call('GET', '/v1/sessions/second', 'ann')).status).toBe(404);
  });
});

/** A client whose body is refused, and that keeps its own side open when the server closes the other one. */
async function refusedHalfOpen(h: Harness, port: number): Promise<Socket> {
  const socket = open(port, true);
  socket.on('error', () => undefined);
  socket.write(headOf(h, 'POST', '/v1/sessions', `content-length: ${10 * UNREAD_BYTES_MAX}`));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(statusesOf(answer.toString())).toEqual([413]);
  return socket;
}

describe('the rest of a refused body', () => {
  it(`is read for ${UNREAD_BODY_MS_MAX / 1000} s at most`, async () => {
    const { h, port } = await start();
    const socket = await refusedHalfOpen(h, port);
    await h.clock.advance(UNREAD_BODY_MS_MAX - 1);
    await new Promise<void>((resolve, reject) => socket.write('x', (error) => (error ? reject(error) : resolve())));
    expect(await openSockets(h)).toBe(1);
    await h.clock.advance(1);
    await expect.poll(() => openSockets(h)).toBe(0);
  });

  it(`is read up to ${UNREAD_BYTES_MAX} bytes`, async () => {
    const { h, port } = await start();
    const socket = await refusedHalfOpen(h, port);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const piece = Buffer.alloc(1024 * 1024);
    let sent = 0;
    const send = (): void => {
      while (!socket.destroyed && sent < 2 * UNREAD_BYTES_MAX) {
        sent += piece.length;
        if (!socket.write(piece)) break;
      }
    };
    socket.on('drain', send);
    send();
    await closed;
    expect(sent).toBeGreaterThan(UNREAD_BYTES_MAX);
    expect(sent).toBeLessThan(2 * UNREAD_BYTES_MAX);
  });

  it('is not read for more connections of one address than the bound', async () => {
    const { h, port } = await start();
    const held: Socket[] = [];
    for (let i = 0; i < UNREAD_BODIES_PER_CALLER_MAX; i += 1) held.push(await refusedHalfOpen(h, port));
    await refusedHalfOpen(h, port);
    await expect.poll(() => openSockets(h)).toBe(UNREAD_BODIES_PER_CALLER_MAX);
    held[0]?.destroy();
    await expect.poll(() => openSockets(h)).toBe(UNREAD_BODIES_PER_CALLER_MAX - 1);
    await refusedHalfOpen(h, port);
    expect(await openSockets(h)).toBe(UNREAD_BODIES_PER_CALLER_MAX);
  });

  it('does not keep the gateway from closing', async () => {
    const { h, port } = await start();
    await refusedHalfOpen(h, port);
    await h.gateway.app.close();
    expect(await openSockets(h)).toBe(0);
  });
});

function openSockets(h: Harness): Promise<number> {
  return new Promise((resolve, reject) =>
    h.gateway.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}

describe('Expect: 100-continue', () => {
  const asking = (length: number): string => `content-length: ${length}\r\nexpect: 100-continue`;

  it('is answered with 100 where the body is wanted, and the request is carried out', async () => {
    const { h, port } = await start();
    const socket = open(port);
    socket.write(headOf(h, 'POST', '/v1/sessions/s/messages', `${asking(15)}\r\nconnection: close`));
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(statusesOf(first.toString())).toEqual([100]);
    socket.write('{"content":"x"}');
    expect(statusesOf(await readToEnd(socket))).toEqual([202]);
  });

  it.each([
    ['a body above the limit', 'POST', '/v1/sessions', 10_001, 413],
    ['a body above the limit of a wire', 'POST', '/openai/v1/responses', 20_001, 413],
    ['an attachment above its limit', 'POST', '/v1/sessions/s/attachments', 10_001, 413],
  ])('is answered with the refusal and no 100 for %s', async (_name, method, path, length, status) => {
    const { h, port } = await start();
    const socket = open(port);
    socket.write(headOf(h, method, path, asking(length)));
    const answer = await readToEnd(socket);
    expect(statusesOf(answer)).toEqual([status]);
    expect(answer).toMatch(/^connection: close/im);
  });

  it('is answered with 401 and no 100 without a token', async () => {
    const { port } = await start();
    const socket = open(port);
    socket.write(`POST /v1/sessions HTTP/1.1\r\nhost: x\r\n${asking(10)}\r\n\r\n`);
    expect(statusesOf(await readToEnd(socket))).toEqual([401]);
  });
});
