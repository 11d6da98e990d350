// Several requests on one connection, sent without waiting for the answers: the answers come in order, and no answer is
// inside another. [RFC 9112 §9.3.2]
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startHarness, type Harness } from '../support/gateway-harness.ts';

interface Talk {
  /** The bytes received so far. */
  readonly heard: () => string;
  readonly until: (part: string | RegExp) => Promise<void>;
  /** Resolves when the server has ended the connection; with `end` when it did so cleanly. */
  readonly closed: Promise<'end' | 'reset'>;
  readonly send: (bytes: string) => void;
}

/** The statuses of all answers. The head of a later answer need not begin a line. */
function statusesOf(heard: string): number[] {
  return [...heard.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

function talk(port: number, bytes: string): Talk {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let heard = '';
  let hasEnded = false;
  const waiting = new Set<() => void>();
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    heard += text;
    for (const look of waiting) look();
  });
  socket.on('end', () => (hasEnded = true));
  socket.on('error', () => undefined);
  const closed = new Promise<'end' | 'reset'>((resolve) =>
    socket.on('close', () => resolve(hasEnded ? 'end' : 'reset')),
  );
  socket.write(bytes);
  return {
    heard: () => heard,
    closed,
    send: (more) => void socket.write(more),
    until: (part) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (typeof part === 'string' ? heard.includes(part) : part.test(heard)) resolve();
        };
        waiting.add(look);
        look();
        void closed.then(() => reject(new Error(`closed before ${String(part)}: ${heard}`)));
      }),
  };
}

async function startChat(): Promise<{
  h: Harness;
  port: number;
  get: (path: string) => string;
  post: (path: string, body: object) => string;
}> {
  const h = await startHarness();
  const { port } = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 'the chat of this test' });
  const head = (line: string): string => `${line} HTTP/1.1\r\nhost: x\r\nauthorization: ${h.bearer('ann')}\r\n`;
  return {
    h,
    port,
    get: (path) => `${head(`GET ${path}`)}\r\n`,
    post: (path, body) =>
      `${head(`POST ${path}`)}content-type: application/json\r\ncontent-length: ${JSON.stringify(body).length}\r\n\r\n${JSON.stringify(body)}`,
  };
}

const EVENTS = '/v1/sessions/s/events';
const UPGRADE =
  'GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

describe('a stream requested behind other requests', () => {
  it('begins when they are answered, and continues', async () => {
    const { h, port, get } = await startChat();
    const { heard, until } = talk(port, get('/v1/sessions') + get('/v1/sessions/s') + get(EVENTS));
    await until('event: live');
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'said later' });
    await until('said later');
    expect(statusesOf(heard())).toEqual([200, 200, 200]);
    expect(heard()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(heard().indexOf('retry: ')).toBeGreaterThan(heard().lastIndexOf('HTTP/1.1 200'));
    expect(heard().split('retry: ')).toHaveLength(2);
    expect(h.logged.filter((line) => line.includes('"level":50'))).toEqual([]);
  });

  it('begins when a prompt before it is answered', async () => {
    const { port, get, post } = await startChat();
    const { heard, until } = talk(
      port,
      post('/v1/sessions/s/messages', { content: 'first things first' }) + get(EVENTS),
    );
    await until('run.queued');
    expect(statusesOf(heard())).toEqual([202, 200]);
    expect(heard().indexOf('retry: ')).toBeGreaterThan(heard().indexOf('HTTP/1.1 200'));
  });

  it('is refused after their answers', async () => {
    const { port, get } = await startChat();
    const { heard, closed } = talk(
      port,
      get('/v1/sessions') + get('/v1/sessions/nowhere/events') + get('/v1/sessions'),
    );
    expect(await closed).toBe('end');
    expect(statusesOf(heard())).toEqual([200, 404]);
  });
});

describe('a request behind a stream', () => {
  it.each(['/v1/sessions', EVENTS, '/healthz'])('for %s is not answered, and the stream continues', async (path) => {
    const { h, port, get } = await startChat();
    const { heard, until } = talk(port, get(EVENTS) + get(path));
    await until('event: live');
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'said later' });
    await until('said later');
    expect(statusesOf(heard())).toEqual([200]);
  });

  it('is not carried out', async () => {
    const { h, port, get, post } = await startChat();
    const { until } = talk(port, get(EVENTS) + post('/v1/sessions', { sessionId: 'made' }));
    await until('event: live');
    expect((await h.call('GET', '/v1/sessions/made', 'ann')).status).toBe(404);
  });

  it('ends a stream that has begun, after all its bytes', async () => {
    const { port, get } = await startChat();
    const { heard, until, closed, send } = talk(port, get(EVENTS));
    await until('event: live');
    send(get('/v1/sessions'));
    expect(await closed).toBe('end');
    expect(statusesOf(heard())).toEqual([200]);
  });

  it('gets no upgrade, and the stream continues', async () => {
    const { h, port, get } = await startChat();
    const { heard, until } = talk(port, `${get(EVENTS)}${UPGRADE}\r\n`);
    await until('event: live');
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'said later' });
    await until('said later');
    expect(statusesOf(heard())).toEqual([200]);
  });

  it('costs a bounded amount when there are many', async () => {
    const { port, get } = await startChat();
    const { heard, closed } = talk(port, get(EVENTS) + get('/healthz').repeat(200));
    await closed;
    expect(statusesOf(heard()).length).toBeLessThanOrEqual(1);
  });
});

describe('a socket requested behind other requests', () => {
  it('opens when they are answered', async () => {
    const { h, port, get } = await startChat();
    const { heard, until } = talk(port, `${get('/v1/sessions')}${UPGRADE}authorization: ${h.bearer('ann')}\r\n\r\n`);
    await until('101 Switching Protocols');
    expect(statusesOf(heard())).toEqual([200, 101]);
  });

  it('is refused after their answers', async () => {
    const { port, get } = await startChat();
    const { heard, closed } = talk(port, `${get('/v1/sessions')}${UPGRADE}authorization: Bearer x.y.z\r\n\r\n`);
    expect(await closed).toBe('end');
    expect(statusesOf(heard())).toEqual([200, 401]);
  });
});

it('bytes that are not a request end the connection after the answer to the request before them', async () => {
  const { h, port, post } = await startChat();
  const { heard, closed } = talk(port, `${post('/v1/sessions', { sessionId: 'made' })}no request\r\n\r\n`);
  expect(await closed).toBe('end');
  expect(statusesOf(heard())).toEqual([201]);
  expect((await h.call('GET', '/v1/sessions/made', 'ann')).status).toBe(200);
});
