// The gateway refuses a body or a frame of many small values before it parses it, and accepts one of few large values.
// The parse budget bounds what it parses for one user.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundExceeded, JSON_DEPTH_MAX, JSON_VALUES_MAX } from '../../src/gateway/json/json-bounds.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

const HOSTILE: readonly (readonly [what: string, json: string])[] = [
  ['empty objects', `{"content":[${'{},'.repeat(100_000)}{}]}`],
  ['numbers', `{"content":[{"type":"text","text":"hi","n":[${'0,'.repeat(200_000)}0]}]}`],
  ['names', `{"content":"hi",${Array.from({ length: 30_000 }, (_, i) => `"n${i}":0`).join(',')}}`],
  ['empty lists within lists', `{"content":[${'[[]],'.repeat(60_000)}[]]}`],
];

describe('the bounds of JSON', () => {
  it('count the values that a parser would make, and nothing inside a string', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, 2), (value, space) => {
        const padded = [...Array.from({ length: JSON_VALUES_MAX - count(value) - 1 }, () => 0), value];
        const text = JSON.stringify(padded, undefined, space);
        expect(boundExceeded(text)).toBe(undefined);
      }),
      { numRuns: 20 },
    );
    expect(boundExceeded(JSON.stringify('[{,'.repeat(JSON_VALUES_MAX)))).toBe(undefined);
    expect(boundExceeded(JSON.stringify('\\"[{,\\\\'.repeat(JSON_VALUES_MAX)))).toBe(undefined);
    expect(boundExceeded(`[${'0,'.repeat(JSON_VALUES_MAX)}0]`)).toBe('values');
    expect(boundExceeded('['.repeat(JSON_DEPTH_MAX + 1))).toBe('depth');
  });

  it.each(HOSTILE)('refuse a body of %s', async (_what, json) => {
    const h = await startHarness();
    const answer = await h.gateway.app.inject({
      method: 'POST',
      url: '/v1/sessions/s1/messages',
      payload: json,
      headers: { authorization: h.bearer('mallory'), 'content-type': 'application/json' },
    });
    expect(answer.json()).toMatchObject({
      error: {
        code: 'too-large',
        retryable: false,
        message: expect.stringContaining(String(JSON_VALUES_MAX)) as unknown,
      },
    });
    expect(answer.statusCode).toBe(413);
    expect((await h.call('GET', '/v1/sessions/s1', 'mallory')).status).toBe(404);
  });

  it.each<[what: string, json: string, closed?: { readonly code: number; readonly reason?: string }]>([
    ['empty objects', `{"type":"send","requestId":"r","sessionId":"s1","content":[${'{},'.repeat(20_000)}{}]}`],
    ['numbers', `{"type":"ping","n":[${'0,'.repeat(30_000)}0]}`],
    ['many levels', `{"type":"ping","n":${'['.repeat(JSON_DEPTH_MAX)}`, { code: 4400, reason: 'json-too-deep' }],
  ])('close a socket that sends a frame of %s', async (_what, json, closed = { code: 1009 }) => {
    const h = await startHarness();
    const { wsUrl } = await h.listen();
    const socket = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('mallory') } });
    socket.socket.send(json);
    expect(await socket.closed).toMatchObject(closed);
  });

  it('describe the faults of a large body by its beginning', async () => {
    const h = await startHarness();
    const answer = await h.call('POST', '/v1/sessions/s1/messages', 'ann', {
      content: Array.from({ length: 4_000 }, () => ({})),
    });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid-request' } } });
    expect((answer.body.error?.details as unknown[]).length).toBeGreaterThan(0);
  });
});

describe('the budget of a user', () => {
  const config = { parseBytesPerSecond: 1_000, parseBytesBurst: 10_000 };
  const prompt = { content: 'x'.repeat(3_000), onBusy: 'queue' };

  it('refuses bodies above it with a time to wait, refills, and is separate for each user', async () => {
    const h = await startHarness({ config });
    const send = (user: string): ReturnType<typeof h.call> =>
      h.call('POST', `/v1/sessions/${user}/messages`, user, prompt);
    for (let i = 0; i < 3; i += 1) expect((await send('mallory')).status).toBe(202);
    const refused = await send('mallory');
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { code: 'too-many', retryable: true } },
      headers: { 'retry-after': '3' },
    });
    expect((await send('ann')).status).toBe(202);
    await h.clock.advance(3_000);
    expect((await send('mallory')).status).toBe(202);
  });

  it('is shared by bodies and the frames of all sockets', async () => {
    const h = await startHarness({ config });
    const { wsUrl } = await h.listen();
    for (let i = 0; i < 3; i += 1) await h.call('POST', '/v1/sessions/s1/messages', 'mallory', prompt);
    const socket = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('mallory') } });
    socket.send({ type: 'send', requestId: 'r', sessionId: 's1', ...prompt });
    const { code, reason } = await socket.closed;
    expect(code).toBe(4429);
    expect(JSON.parse(reason)).toMatchObject({ code: 'too-many', afterMs: expect.any(Number) as unknown });
  });

  it('admits a body larger than itself when it is full', async () => {
    const h = await startHarness({ config });
    expect((await h.call('POST', '/v1/sessions/s1/messages', 'ann', { content: 'x'.repeat(50_000) })).status).toBe(202);
    expect((await h.call('POST', '/v1/sessions/s1/messages', 'ann', { content: 'x' })).status).toBe(429);
    await h.clock.advance(1_000);
    expect((await h.call('POST', '/v1/sessions/s1/messages', 'ann', { content: 'x' })).status).toBe(202);
  });
});

/** The number of values that a parser makes. */
function count(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  // An empty list or object counts like one with a single value.
  return Math.max(
    2,
    Object.values(value).reduce<number>((sum, one) => sum + count(one), 1),
  );
}
