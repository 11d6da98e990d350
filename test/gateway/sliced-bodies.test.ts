// Large bodies are parsed in slices: others are served meanwhile, a body that is refused has changed nothing, and its
// user pays for it.
import { describe, expect, it } from 'vitest';
import { LargeJson, LARGE_JSON_BYTES } from '../../src/gateway/json/large-json.ts';
import { countTurns } from '../support/count-turns.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { ManualClock } from '../support/manual-clock.ts';

const VALUES_MAX = 100_000;
/** Large, and the longest that a prompt may be. */
const prompt = { content: 'x'.repeat(LARGE_JSON_BYTES * 2), onBusy: 'queue' };

function conversation(bytes: number): string {
  const message = { role: 'user', parts: [{ type: 'text', text: 'x'.repeat(1000) }] };
  const messages = Array.from({ length: Math.ceil(bytes / JSON.stringify(message).length) }, () => message);
  return JSON.stringify({ id: 'chat', messages });
}

function post(h: Harness, user: string, payload: string): Promise<{ readonly statusCode: number; json(): unknown }> {
  return h.gateway.app.inject({
    method: 'POST',
    url: '/v1/sessions/s1/messages',
    payload,
    headers: { authorization: h.bearer(user), 'content-type': 'application/json' },
  });
}

describe('a large body', () => {
  it('lets other requests be served before it is parsed', async () => {
    const h = await startHarness();
    const large = { isRefused: false };
    const answered = h.gateway.app
      .inject({
        method: 'POST',
        url: '/api/chat',
        // Without a prompt: it is parsed, and then refused.
        payload: `${conversation(4_000_000).slice(0, -1)},"trigger":"none"}`,
        headers: { authorization: h.bearer('ann'), 'content-type': 'application/json' },
      })
      .then(({ statusCode }) => {
        expect(statusCode).toBe(400);
        large.isRefused = true;
      });
    let served = 0;
    for (; !large.isRefused; served += 1)
      expect((await h.call('POST', `/v1/sessions/s${served}/messages`, 'bob', { content: 'hi' })).status).toBe(202);
    await answered;
    expect(served).toBeGreaterThan(10);
  });

  it.each([
    ['a conversation', conversation(4_000_000)],
    ['one string', JSON.stringify('x'.repeat(4_000_000))],
    ['one string of escapes', `"${'\\u00e9'.repeat(650_000)}"`],
    ['one string of quotes', JSON.stringify('"'.repeat(2_000_000))],
    ['one name', `{"${'n'.repeat(4_000_000)}":1}`],
    ['blanks', `${' '.repeat(4_000_000)}1`],
    ['lists in lists', `${'['.repeat(60)}${'1, '.repeat(90_000)}1${']'.repeat(60)}${' '.repeat(3_700_000)}`],
  ])('of %s takes many turns of the event loop', async (_what, text) => {
    const counted = countTurns();
    const parsed = await new LargeJson(new ManualClock()).parseText(text, VALUES_MAX);
    // By the bytes of a slice alone: the clock stands still.
    expect(counted.turns).toBeGreaterThan(12);
    expect(parsed).toMatchObject({ kind: 'value', value: JSON.parse(text) as unknown });
  });

  it('is parsed alone: the one that came first is first', async () => {
    const largeJson = new LargeJson(new ManualClock());
    const order: string[] = [];
    await Promise.all([
      largeJson.parseText(conversation(2_000_000), VALUES_MAX).then(() => order.push('first')),
      largeJson.parseBytes(Buffer.from(conversation(100_000)), VALUES_MAX).then(() => order.push('second')),
    ]);
    expect(order).toEqual(['first', 'second']);
  });

  it.each([
    ['a bracket too many', (json: string) => `${json}]`, 400, 'invalid-json'],
    ['no end', (json: string) => json.slice(0, -1), 400, 'invalid-json'],
    ['a name that sets a prototype', (json: string) => `${json.slice(0, -1)},"__proto__":{}}`, 400, 'invalid-json'],
    ['too many values', (json: string) => `${json.slice(0, -1)},"n":[${'0,'.repeat(10_000)}0]}`, 413, 'too-large'],
    ['too many levels', (json: string) => `${json.slice(0, -1)},"n":${'['.repeat(65)}`, 400, 'json-too-deep'],
    ['a false field', (json: string) => `${json.slice(0, -1)},"onBusy":1}`, 400, 'invalid-request'],
  ])('with %s at its end changes nothing, and keeps no other from being read', async (_what, spoil, status, code) => {
    const h = await startHarness();
    const [refused, other] = await Promise.all([
      post(h, 'ann', spoil(JSON.stringify(prompt))),
      h.call('POST', '/v1/sessions/s2/messages', 'bob', prompt),
    ]);
    expect([refused.statusCode, refused.json()]).toMatchObject([status, { error: { code } }]);
    expect((await h.call('GET', '/v1/sessions/s1', 'ann')).status).toBe(404);
    expect(other.status).toBe(202);
    expect((await post(h, 'ann', JSON.stringify(prompt))).statusCode).toBe(202);
  });

  it('costs its user what its values cost beside its bytes', async () => {
    const h = await startHarness({ config: { parseBytesPerSecond: 1_000, parseBytesBurst: 500_000 } });
    const values = Array.from({ length: 9_000 }, () => 0);
    const many = JSON.stringify({ ...prompt, metadata: values });
    expect((await post(h, 'ann', many)).statusCode).toBe(400);
    // 150,000 bytes and 9,000 values of 24 bytes are charged; two bodies without such values would be within the rest.
    expect((await post(h, 'ann', JSON.stringify(prompt))).statusCode).toBe(202);
    expect((await post(h, 'ann', JSON.stringify(prompt))).statusCode).toBe(429);
    expect((await post(h, 'bob', JSON.stringify(prompt))).statusCode).not.toBe(429);
  });
});
