// What the AI SDK wire refuses: plain text that names the field, a code in a header, and nothing half done.
import { describe, expect, it } from 'vitest';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';

const prompt = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'go' }] };

function withPart(part: unknown): object {
  return { id: 'c', messages: [{ ...prompt, parts: [part] }] };
}

async function post(h: Harness, body: unknown, as = 'ann') {
  const { status, text, headers } = await h.call('POST', '/api/chat', as, body);
  return { status, text, code: headers['x-holdline-code'], type: headers['content-type'] };
}

describe('POST /api/chat', () => {
  it.each([
    ['no body', {}, 'body: must have required properties'],
    ['an id that is none', { id: 'a/b', messages: [prompt] }, 'body/id: must match pattern'],
    ['no messages', { id: 'c', messages: [] }, 'body/messages: must not have fewer than 1 items'],
    ['another trigger', { id: 'c', messages: [prompt], trigger: 'other' }, 'body/trigger: '],
    ['a message that is none', { id: 'c', messages: ['go'] }, 'messages: the last message must be the prompt'],
    [
      'an assistant message without a settled call',
      { id: 'c', messages: [prompt, { ...prompt, role: 'assistant' }] },
      'messages[1].role: an answer of the page has no settled call, and is no prompt',
    ],
    [
      'a system message',
      { id: 'c', messages: [{ ...prompt, role: 'system' }] },
      'messages[0].role: the last message must be of the role user',
    ],
    [
      'a message without an id',
      { id: 'c', messages: [{ ...prompt, id: undefined }] },
      'messages[0].id: the id must be',
    ],
    ['an empty message', { id: 'c', messages: [{ ...prompt, parts: [] }] }, 'messages[0].parts: the message is empty'],
    [
      'more parts than a message may have',
      { id: 'c', messages: [{ ...prompt, parts: Array.from({ length: 257 }, () => prompt.parts[0]) }] },
      'messages[0].parts: the message has more than 256 parts',
    ],
    [
      'a part of another kind',
      withPart({ type: 'source-url' }),
      'messages[0].parts[0]: only text and files can be sent',
    ],
    [
      'a file by a URL',
      withPart({ type: 'file', mediaType: 'application/pdf', url: 'https://a.test/b.pdf' }),
      'messages[0].parts[0]: a file that is no image must be a data: URL',
    ],
  ])('refuses %s', async (_what, body, message) => {
    const h = await startHarness();
    const refused = await post(h, body);
    expect(refused).toMatchObject({ status: 400, code: 'invalid-request', type: 'text/plain; charset=utf-8' });
    expect(refused.text).toContain(message);
    expect((await h.call('GET', '/v1/sessions/c', 'ann')).status).toBe(404);
  });

  it('refuses a body above the limit, and takes one of a long conversation', async () => {
    const h = await startHarness({ config: { wireBodyBytesMax: 1_000_000, agents: new Map() } });
    const messages = [{ id: 'old', role: 'user', parts: [{ type: 'text', text: 'x'.repeat(900_000) }] }, prompt];
    // The body is read: the agent is what is refused.
    expect(await post(h, { id: 'c', messages })).toMatchObject({ status: 400, code: 'unknown-agent' });
    const larger = [...messages, ...messages];
    expect(await post(h, { id: 'c', messages: larger })).toMatchObject({ status: 413, code: 'too-large' });
  });

  it('refuses a known id with another text, where the page did not edit it', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions/c/messages', 'ann', { messageId: 'm1', content: 'another' });
    expect(await post(h, { id: 'c', messages: [prompt] })).toMatchObject({ status: 409, code: 'message-conflict' });
  });

  it('refuses answers that no run waits for, and answers to a chat of another user', async () => {
    const h = await startHarness();
    const parts = [{ type: 'dynamic-tool', toolCallId: 'x', toolName: 'look', state: 'output-available', output: 1 }];
    const body = { id: 'c', messages: [prompt, { id: 'a1', role: 'assistant', parts }] };
    expect(await post(h, body)).toMatchObject({ status: 404, code: 'not-found' });
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'c' });
    expect(await post(h, body)).toMatchObject({ status: 409, code: 'not-waiting' });
    expect(await post(h, body, 'eve')).toMatchObject({ status: 404, code: 'not-found' });
  });

  it("refuses a prompt to another user's chat", async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'eve', { sessionId: 'c' });
    expect(await post(h, { id: 'c', messages: [prompt] })).toMatchObject({ status: 404, code: 'not-found' });
    const regenerate = { id: 'c', messages: [prompt], trigger: 'regenerate-message' };
    expect(await post(h, regenerate)).toMatchObject({ status: 404, code: 'not-found' });
  });

  it('keeps the prompt out of the chat when the user has too many streams', async () => {
    const h = await startHarness({ config: { connectionsPerUserMax: 0 } });
    expect(await post(h, { id: 'c', messages: [prompt] })).toMatchObject({ status: 429, code: 'too-many' });
    expect((await h.call('GET', '/v1/sessions/c', 'ann')).status).toBe(404);
  });

  it('keeps the prompt when its stream fails behind it', async () => {
    const h = await startHarness();
    const snapshot = h.commandLog.snapshot.bind(h.commandLog);
    let isSent = false;
    h.commandLog.snapshot = async (ref) => {
      const look = await snapshot(ref);
      if (look !== undefined) isSent = true;
      if (isSent) throw new Error('gone');
      return look;
    };
    expect(await post(h, { id: 'c', messages: [prompt] })).toMatchObject({ status: 500, code: 'internal' });
    h.commandLog.snapshot = snapshot;
    const { body } = await h.call('GET', '/v1/sessions/c/messages', 'ann');
    expect(body['messages']).toMatchObject([{ messageId: 'm1', content: 'go', status: 'queued' }]);
  });
});

describe('the other routes below /api/chat', () => {
  it.each([
    ['GET', '/api/chat/c/stream', 204],
    ['GET', '/api/chat/c/messages', 404],
    ['POST', '/api/chat/c/stop', 404],
    ['GET', '/api/chat', 404],
    ['GET', '/api/chat/c/other', 404],
  ] as const)('%s %s is %i for an unknown chat and for the chat of another user', async (method, url, status) => {
    const h = await startHarness();
    const call = async () => h.call(method, url, 'ann', method === 'POST' ? {} : undefined);
    const unknown = await call();
    await h.call('POST', '/v1/sessions', 'eve', { sessionId: 'c' });
    await h.call('POST', '/v1/sessions/c/messages', 'eve', { content: 'mine' });
    const foreign = await call();
    expect([unknown.status, foreign.status]).toEqual([status, status]);
    expect(unknown.text).toBe(foreign.text);
    if (status !== 204) expect(foreign.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it('resumes nothing in a chat without a prompt', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'c' });
    expect((await h.call('GET', '/api/chat/c/stream', 'ann')).status).toBe(204);
  });

  it('gives prompts with pictures and files back as a page sends them, page by page', async () => {
    const h = await startHarness();
    const parts = [
      { type: 'text', text: 'look' },
      { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' },
      { type: 'file', mediaType: 'application/pdf', filename: 'a.pdf', url: 'data:application/pdf;base64,AA==' },
    ];
    await h.call('POST', '/v1/sessions/c/messages', 'ann', { content: 'first' });
    const address = await h.listen();
    const sent = await fetch(`${address.url}/api/chat`, {
      method: 'POST',
      headers: { authorization: h.bearer('ann'), 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'c', messages: [{ ...prompt, parts: [...parts, { type: 'data-x', data: 1 }] }] }),
    });
    expect(sent.status).toBe(200);
    await sent.body?.cancel();
    const page = await h.call('GET', '/api/chat/c/messages?limit=1', 'ann');
    expect(JSON.parse(page.text)).toEqual([{ id: 'm1', role: 'user', parts }]);
    const before = String(page.headers['x-before']);
    const older = await h.call('GET', `/api/chat/c/messages?limit=1&before=${before}&metadata=1`, 'ann');
    expect(JSON.parse(older.text)).toMatchObject([{ parts: [{ type: 'text', text: 'first' }], metadata: {} }]);
  });
});
