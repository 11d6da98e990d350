// /ds/v1/stream/<name>: who may use which stream, what is refused and how, and how live reads end.
import { describe, expect, it } from 'vitest';
import { EVENT_STREAM_MS } from '../../../src/gateway/mounts/durable-streams/live-reads.ts';
import { PAGES_PER_USER_MAX, PAGES_WAITING_PER_USER_MAX } from '../../../src/gateway/http/page-reads.ts';
import { NAME_CHARS_MAX } from '../../../src/gateway/mounts/durable-streams/stream-requests.ts';
import { startHarness, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';
import { eventually, turn } from '../../support/wait-for.ts';

interface Ask {
  readonly method?: string;
  readonly as?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

async function startStreams(options: HarnessOptions = {}) {
  const h = await startHarness(options);
  const { url } = await h.listen();
  const ask = (path: string, { method = 'GET', as = 'ann', headers = {}, body, signal }: Ask = {}): Promise<Response> =>
    fetch(`${url}/ds/v1/stream/${path}`, {
      method,
      headers: { authorization: as.startsWith('Bearer') ? as : h.bearer(as), 'content-type': 'text/plain', ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  const put = (path: string, more: Ask = {}) => ask(path, { method: 'PUT', ...more });
  const post = (path: string, body: string, more: Ask = {}) => ask(path, { method: 'POST', body, ...more });
  return { h, url, ask, put, post };
}

const code = async (answer: Response): Promise<unknown> => [
  answer.status,
  ((await answer.json()) as { error: { code: string } }).error.code,
];

/** The connections that wait or stream. */
const live = (h: Harness): Promise<string> =>
  h.call('GET', '/metrics').then(({ text }) => /wire="durable-streams"\} (\d+)/.exec(text)?.[1] ?? '');

describe('a durable stream', () => {
  it('belongs to the user who made it', async () => {
    const { h, ask, put, post } = await startStreams();
    expect((await put('notes/one', { body: 'ann' })).status).toBe(201);
    for (const as of ['bob', h.bearer('ann', { tenant: 'acme' })]) {
      expect(await code(await ask('notes/one', { as }))).toEqual([404, 'no-such-stream']);
      expect(await code(await post('notes/one', 'x', { as }))).toEqual([404, 'no-such-stream']);
      expect((await ask('notes/one', { as, method: 'HEAD' })).status).toBe(404);
      expect((await ask('notes/one', { as, method: 'DELETE' })).status).toBe(404);
      expect((await put('notes/one', { as, body: as })).status).toBe(201);
    }
    expect(await (await ask('notes/one')).text()).toBe('ann');
  });

  it('needs a token that is not limited to sessions', async () => {
    const { h, url, put } = await startStreams();
    expect(await code(await put('x', { as: h.bearer('ann', { sessions: ['s1'] }) }))).toEqual([403, 'forbidden']);
    expect((await fetch(`${url}/ds/v1/stream/x`)).status).toBe(401);
    expect(await code(await put('x', { as: 'Bearer nonsense' }))).toEqual([401, 'unauthenticated']);
    expect(await code(await put('x', { as: h.bearer('ann', { scope: 'worker' }) }))).toEqual([403, 'forbidden']);
  });

  it('has a name of any path, and paths below the mount that are none are not there', async () => {
    const { h, url, ask, put } = await startStreams();
    expect((await put('a/b%2Fc/..%2F..%2Fetc', { body: 'x' })).status).toBe(201);
    expect(await (await ask('a/b%2Fc/..%2F..%2Fetc')).text()).toBe('x');
    expect(await code(await put('x'.repeat(NAME_CHARS_MAX + 1)))).toEqual([400, 'invalid-name']);
    const headers = { authorization: h.bearer('ann') };
    expect(await code(await fetch(`${url}/ds/v1/other`, { headers }))).toEqual([404, 'no-such-route']);
    expect(await code(await fetch(`${url}/ds/v1/stream/x`, { method: 'PATCH', headers }))).toEqual([
      404,
      'no-such-route',
    ]);
  });

  it('takes bodies up to the limit of the wire', async () => {
    const { ask, put, post } = await startStreams({ config: { wireBodyBytesMax: 1_500_000 } });
    await put('x');
    expect((await post('x', 'ü'.repeat(700_000))).status).toBe(204);
    expect(await code(await post('x', 'x'.repeat(1_500_001)))).toEqual([413, 'too-large']);
    expect((await (await ask('x')).text()).length).toBe(700_000);
  });

  it('refuses JSON above the bounds of values and depth, and appends nothing of it', async () => {
    const { ask, put, post } = await startStreams();
    const headers = { 'content-type': 'application/json' };
    await put('j', { headers });
    expect(await code(await post('j', `[${'['.repeat(99)}${']'.repeat(99)}]`, { headers }))).toEqual([
      400,
      'json-too-deep',
    ]);
    expect(await code(await post('j', `[${'1,'.repeat(100_000)}1]`, { headers }))).toEqual([413, 'too-large']);
    expect(await code(await post('j', '[1] trailing', { headers }))).toEqual([400, 'invalid-json']);
    expect(await (await ask('j')).text()).toBe('[]');
  });

  it('names the header that it refuses', async () => {
    const { put } = await startStreams();
    for (const [name, value] of [
      ['stream-ttl', '1.5'],
      ['stream-expires-at', 'tomorrow'],
    ] as const) {
      const answer = await put('x', { headers: { [name]: value } });
      expect(answer.status).toBe(400);
      expect(await answer.text()).toContain(name);
    }
  });

  it('may end later than any topic, and so may its forks', async () => {
    const { ask, put } = await startStreams();
    const headers = { 'stream-expires-at': '9999-12-31T23:59:59Z' };
    expect((await put('x', { headers })).status).toBe(201);
    expect((await put('fork', { headers: { ...headers, 'stream-forked-from': '/v1/stream/x' } })).status).toBe(201);
    expect((await ask('fork', { method: 'HEAD' })).headers.get('stream-expires-at')).toBe('9999-12-31T23:59:59.000Z');
  });

  it('says that a token is of an earlier stream, and that one is beyond the end', async () => {
    const { ask, put } = await startStreams();
    const old = (await put('x', { body: 'a' })).headers.get('stream-next-offset') ?? '';
    await ask('x', { method: 'DELETE' });
    const fresh = (await put('x', { body: 'b' })).headers.get('stream-next-offset') ?? '';
    expect(await code(await ask(`x?offset=${old}`))).toEqual([410, 'offset-gone']);
    expect(await code(await ask(`x?offset=${fresh.replace('1_', '7_')}`))).toEqual([400, 'invalid-offset']);
  });

  it('is not given a token in the middle of an append', async () => {
    const { ask, put } = await startStreams();
    const made = await put('x', { body: 'x'.repeat(1_200_000) });
    const token = made.headers.get('stream-next-offset') ?? '';
    expect(token).toMatch(/^0{15}3_/);
    expect(await code(await ask(`x?offset=${token.replace('3_', '1_')}`))).toEqual([400, 'invalid-offset']);
  });

  it('may be kept by a cache before its end, and is asked for again at its end', async () => {
    const { ask, put, post } = await startStreams();
    await put('x', { body: 'x'.repeat(300_000) });
    await post('x', 'y'.repeat(300_000));
    await post('x', 'z');
    const first = await ask('x');
    expect(first.headers.get('cache-control')).toContain('max-age=60');
    expect(first.headers.get('stream-up-to-date')).toBeNull();
    const second = await ask(`x?offset=${first.headers.get('stream-next-offset')}`);
    const rest = await ask(`x?offset=${second.headers.get('stream-next-offset')}`);
    expect((await first.text()) + (await second.text()) + (await rest.text())).toMatch(/^x{300000}y{300000}z$/);
    expect(rest.headers.get('cache-control')).toBe('private, no-cache');
    expect(rest.headers.get('stream-up-to-date')).toBe('true');
  });
});

describe('a long poll', () => {
  it('answers 204 after its time, and counts as a connection until then', async () => {
    const { h, ask, put } = await startStreams({ config: { longPollMs: 7_000 } });
    await put('x', { body: 'a' });
    const poll = ask('x?offset=now&live=long-poll');
    await eventually(async () => (await live(h)) === '1');
    await h.clock.advance(6_000);
    expect(await live(h)).toBe('1');
    await h.clock.advance(1_000);
    const { status, headers } = await poll;
    expect([status, headers.get('stream-up-to-date'), headers.get('stream-cursor')]).toEqual([
      204,
      'true',
      expect.any(String),
    ]);
    expect(await live(h)).toBe('0');
  });

  it('answers with the data of an append, with a close, and with the end of its stream', async () => {
    const { h, ask, put, post } = await startStreams();
    const poll = async (): Promise<Response> => {
      const answer = ask('x?offset=now&live=long-poll');
      await eventually(async () => (await live(h)) === '1');
      return answer;
    };
    await put('x');
    const data = poll();
    await eventually(async () => (await live(h)) === '1');
    await post('x', 'more');
    expect(await (await data).text()).toBe('more');
    const removed = poll();
    await eventually(async () => (await live(h)) === '1');
    await ask('x', { method: 'DELETE' });
    expect((await removed).status).toBe(404);
    await put('x');
    const closed = poll();
    await eventually(async () => (await live(h)) === '1');
    await ask('x', { method: 'POST', headers: { 'stream-closed': 'true' } });
    const { status, headers } = await closed;
    expect([status, headers.get('stream-closed')]).toEqual([204, 'true']);
  });

  it('ends when its token does, at a drain, and when its client leaves', async () => {
    const { h, ask, put } = await startStreams({ config: { longPollMs: 3_600_000 } });
    await put('x');
    const expiring = ask('x?offset=now&live=long-poll', {
      as: h.bearer('ann', { exp: Math.floor(h.clock.now() / 1000) + 5 }),
    });
    await eventually(async () => (await live(h)) === '1');
    await h.clock.advance(60_000);
    expect((await expiring).status).toBe(204);
    const leaving = new AbortController();
    const left = ask('x?offset=now&live=long-poll', { signal: leaving.signal }).catch(() => 'left');
    await eventually(async () => (await live(h)) === '1');
    leaving.abort();
    expect(await left).toBe('left');
    await eventually(async () => (await live(h)) === '0');
    const drained = ask('x?offset=now&live=long-poll');
    await eventually(async () => (await live(h)) === '1');
    const draining = h.gateway.drain({ windowMs: 1_000, deadlineMs: 2_000 });
    await h.clock.advance(1_000);
    expect((await drained).status).toBe(204);
    await draining;
    expect(await code(await ask('x?offset=now&live=long-poll'))).toEqual([503, 'draining']);
  });

  it('is one of the pages of its user where there is data', async () => {
    const { h, put } = await startStreams();
    await put('x', { body: 'data' });
    const read = h.broker.read.bind(h.broker);
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    h.broker.read = async (...asked) => {
      await held;
      return read(...asked);
    };
    const poll = () => h.call('GET', '/ds/v1/stream/x?offset=-1&live=long-poll', 'ann');
    const answers = Array.from({ length: PAGES_PER_USER_MAX + PAGES_WAITING_PER_USER_MAX }, poll);
    expect((await poll()).status).toBe(429);
    letGo();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(answers.map(() => 200));
  });

  it('is refused above the connections of its user', async () => {
    const { h, ask, put } = await startStreams({ config: { connectionsPerUserMax: 1 } });
    await put('x');
    const first = ask('x?offset=now&live=long-poll');
    await eventually(async () => (await live(h)) === '1');
    expect(await code(await ask('x?offset=now&live=long-poll'))).toEqual([429, 'too-many']);
    expect(await code(await ask('x?offset=now&live=sse'))).toEqual([429, 'too-many']);
    await h.clock.advance(20_000);
    expect((await first).status).toBe(204);
  });

  it('keeps a stream with a shorter time to live', async () => {
    const { h, ask, put } = await startStreams();
    await put('x', { headers: { 'stream-ttl': '4' } });
    const poll = ask('x?offset=now&live=long-poll');
    await eventually(async () => (await live(h)) === '1');
    await h.clock.advance(20_000);
    expect((await poll).status).toBe(204);
    expect((await ask('x', { method: 'HEAD' })).status).toBe(200);
    await h.clock.advance(5_000);
    expect((await ask('x', { method: 'HEAD' })).status).toBe(404);
  });
});

describe('an event stream', () => {
  it('ends after a minute, so that its readers come back', async () => {
    const { h, ask, put, post } = await startStreams();
    await put('x', { body: 'one' });
    const answer = await ask('x?offset=-1&live=sse');
    await eventually(async () => (await live(h)) === '1');
    await post('x', ' two\r\n three');
    await turn();
    const text = answer.text();
    await h.clock.advance(EVENT_STREAM_MS);
    expect(await text).toMatch(
      /event: data\ndata:one\n\nevent: control\n[^\n]+\n\nevent: data\ndata:  two\ndata:  three\n\nevent: control/,
    );
    await eventually(async () => (await live(h)) === '0');
  });

  it('ends with its token and at a drain', async () => {
    const { h, ask, put } = await startStreams();
    await put('x');
    const expiring = await ask('x?offset=now&live=sse', {
      as: h.bearer('ann', { exp: Math.floor(h.clock.now() / 1000) + 5 }),
    });
    const text = expiring.text();
    await h.clock.advance(40_000);
    expect(await text).toContain('"upToDate":true');
    const drained = (await ask('x?offset=now&live=sse')).text();
    const draining = h.gateway.drain({ windowMs: 1_000, deadlineMs: 2_000 });
    await h.clock.advance(1_000);
    expect(await drained).toContain('"upToDate":true');
    await draining;
  });
});
