// Fairness of page reads: one user's pages cost the other users a turn and nothing else.
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PAGES_PER_USER_MAX, PAGES_WAITING_PER_USER_MAX, pageBody } from '../../src/gateway/http/page-reads.ts';
import { ANSWER_CHARS_MAX } from '../../src/session/events/answer-builder.ts';
import { eventually } from '../support/wait-for.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Answer, type Harness } from '../support/gateway-harness.ts';

/** Reads of that chat wait until the test releases them. */
function holdUpReads(h: Harness, sessionId: string): () => void {
  const read = h.broker.read.bind(h.broker);
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  h.broker.read = async (topic, from, options) => {
    if (topic.endsWith(`/${sessionId}`) && options?.majorOnly === true) await held;
    return read(topic, from, options);
  };
  return letGo;
}

describe('pages of one user', () => {
  it.each(['messages', 'runs'])(
    'wait for each other, are refused above the bound of the queue, and delay no other user (%s)',
    async (list) => {
      const h = await startHarness();
      await h.call('POST', '/v1/sessions/slow/messages', 'mallory', { content: 'hi' });
      await h.call('POST', '/v1/sessions/quick/messages', 'ann', { content: 'hi' });
      const letGo = holdUpReads(h, 'slow');
      const answers: Promise<Answer>[] = [];
      for (let i = 0; i < PAGES_PER_USER_MAX + PAGES_WAITING_PER_USER_MAX; i += 1)
        answers.push(h.call('GET', `/v1/sessions/slow/${list}`, 'mallory'));
      const refused = await h.call('GET', `/v1/sessions/slow/${list}`, 'mallory');
      expect(refused).toMatchObject({
        status: 429,
        body: { error: { code: 'too-many', retryable: true } },
        headers: { 'retry-after': '2' },
      });
      expect((await h.call('GET', `/v1/sessions/quick/${list}`, 'ann')).status).toBe(200);
      letGo();
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect((await h.call('GET', `/v1/sessions/slow/${list}`, 'mallory')).status).toBe(200);
    },
  );

  it('that no client reads are cut and make room', async () => {
    const h = await startHarness({ config: { unreadMs: 100 } });
    const { port } = await h.listen();
    const { body } = await h.call('POST', '/v1/sessions/large/messages', 'mallory', { content: 'hi' });
    const run = await FakeRun.take(h, 'large', String(body['runId']));
    // Six megabytes: more than a kernel buffers for a client that reads nothing.
    for (let said = 0; said < ANSWER_CHARS_MAX; said += 64 * 1024) await run.say('€'.repeat(64 * 1024));
    await run.complete();
    const sockets = Array.from({ length: PAGES_PER_USER_MAX }, () => connect(port, '127.0.0.1'));
    onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
    for (const socket of sockets) {
      socket.on('error', () => undefined).pause();
      socket.write(
        `GET /v1/sessions/large/messages HTTP/1.1\r\nhost: x\r\nauthorization: ${h.bearer('mallory')}\r\n\r\n`,
      );
    }
    await eventually(async () => (await openConnections(h)) === PAGES_PER_USER_MAX);
    expect((await h.call('GET', '/v1/sessions/large/messages', 'mallory')).status).toBe(200);
    await eventually(async () => (await openConnections(h)) === 0);
  });
});

function openConnections(h: Harness): Promise<number> {
  return new Promise((resolve, reject) =>
    h.gateway.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}

it('lists of chats count as pages', async () => {
  const h = await startHarness();
  const list = h.broker.describe.bind(h.broker);
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  h.broker.describe = async (topics) => {
    await held;
    return list(topics);
  };
  const answers = Array.from({ length: PAGES_PER_USER_MAX + PAGES_WAITING_PER_USER_MAX }, () =>
    h.call('GET', '/v1/sessions', 'mallory'),
  );
  expect((await h.call('GET', '/v1/sessions', 'mallory')).status).toBe(429);
  letGo();
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(answers.map(() => 200));
});

describe('the body of a page', () => {
  it('is the same JSON as in one piece, with any cut', async () => {
    const item = fc.record({
      content: fc.string({ unit: 'binary', maxLength: 8 }),
      long: fc.constantFrom('', '😀'.repeat(40_000), 'x'.repeat(65_535), '"'.repeat(100_000)),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { maxLength: 6 }),
        fc.constantFrom({}, { position: 'e.1' }),
        async (items, rest) => {
          const body = pageBody('messages', items, rest);
          expect(typeof body === 'string' ? body : await text(body)).toBe(JSON.stringify({ messages: items, ...rest }));
        },
      ),
      { numRuns: 60 },
    );
  });
});
