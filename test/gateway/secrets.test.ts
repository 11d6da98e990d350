// Canaries: secret texts go into every input, on good paths and bad, and then must not appear in log lines, error
// bodies or metrics.
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { sendRaw } from '../support/gateway-raw-http.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

const PROMPT = 'canary-prompt-5f2a';
const TITLE = 'canary-title-91bc';
const QUERY = 'canary-query-77de';
const COOKIE = 'canary-cookie-03aa';
const SUB = 'canary-user-4c1d';

async function goodPaths(h: Harness, port: number, wsUrl: string): Promise<string[]> {
  const token = h.token(SUB);
  await h.call('POST', '/v1/sessions', `Bearer ${token}`, { sessionId: 's', title: TITLE });
  await h.call('POST', `/v1/sessions/s/messages?q=${QUERY}`, `Bearer ${token}`, { content: PROMPT });
  const ticket = String((await h.call('POST', '/v1/tickets', `Bearer ${token}`)).body['ticket']);
  const stream = await SseClient.open(port, `/v1/sessions/s/events?ticket=${ticket}`, { cookie: `x=${COOKIE}` });
  await stream.live();
  const setCookie = (await stream.head).headers.get('set-cookie') ?? '';
  const client = await WsClient.open(wsUrl);
  client.send({ type: 'auth', token });
  await client.ask({ type: 'send', requestId: 'r', sessionId: 's', content: PROMPT });
  return [token, ticket, setCookie.slice(0, 60)];
}

async function badPaths(h: Harness, port: number, wsUrl: string): Promise<string[]> {
  const expired = h.token(SUB, { exp: 1 });
  const ticket = 'canary-ticket-d00d-d00d-d00d';
  const outputs = [
    await h.call('GET', `/v1/sessions/s?token=${expired}`),
    await h.call('GET', '/v1/sessions', `Bearer ${expired}`),
    await h.call('GET', `/v1/sessions/s/events?ticket=${ticket}&q=${QUERY}`),
    await h.call('POST', '/v1/sessions/s/messages', SUB, { content: { secret: PROMPT } }),
    await h.call('POST', '/v1/sessions', SUB, { title: [TITLE] }),
    await h.call('GET', `/nothing?q=${QUERY}`, SUB),
    await h.call('GET', '/metrics'),
  ].map((one) => one.text);
  outputs.push(
    await sendRaw(port, `GET /${QUERY} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${expired}\r\nbad header\r\n\r\n`),
  );
  const client = await WsClient.open(wsUrl);
  client.send({ type: 'auth', token: expired });
  outputs.push((await client.closed).reason);
  return [expired, ticket, ...outputs.map((text) => `output:${text}`)];
}

/** Makes the log fail during a prompt. */
async function defects(h: Harness, wsUrl: string): Promise<void> {
  const append = h.broker.append.bind(h.broker);
  h.broker.append = () => Promise.reject(new Error('broken'));
  await h.call('POST', `/v1/sessions/s/messages?q=${QUERY}`, SUB, { content: PROMPT });
  const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer(SUB) } });
  await client.ask({ type: 'send', requestId: 'r', sessionId: 's', content: PROMPT });
  h.broker.append = append;
}

it('no secret and no prompt is in log lines, error bodies or metrics', async () => {
  const h = await startHarness();
  const { port, wsUrl } = await h.listen();
  const secrets = [PROMPT, TITLE, QUERY, COOKIE, SUB, ...(await goodPaths(h, port, wsUrl))];
  const [expired = '', ticket = '', ...outputs] = await badPaths(h, port, wsUrl);
  await defects(h, wsUrl);
  await new Promise<void>((resolve) => connect(port, '127.0.0.1').on('connect', resolve).end());
  await h.gateway.app.close();
  expect(h.logged.some((line) => line.includes('broken'))).toBe(true);
  for (const secret of [...secrets, expired, ticket, h.token(SUB).split('.')[2] ?? '']) {
    expect(h.logged.filter((line) => line.includes(secret))).toEqual([]);
    expect(outputs.filter((text) => text.includes(secret))).toEqual([]);
  }
});

it('log messages are constant and lower-case for every request', async () => {
  const h = await startHarness();
  h.broker.describe = () => Promise.reject(new Error('x'));
  await h.call('GET', '/v1/sessions/a%0A"b', 'ann');
  await h.call('GET', '/v1/sessions/a', 'ann');
  const messages = h.logged.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages).toContain('request failed');
  for (const message of messages) expect(message).toMatch(/^[a-z ]+$/);
});
