// Sending and stopping: exactly once, even when the reply is lost.
import { describe, expect, it } from 'vitest';
import { ChatClientError } from '../../src/client/chat-client.ts';
import { CALL_TIMEOUT_MS } from '../../src/client/http/http-api.ts';
import { PATIENCE_MS } from '../../src/client/http/patient-caller.ts';
import { isLive, openClient, shows, texts, until } from './open-client.ts';

describe('sending', () => {
  it('shows the message at once, and as sent when the log has it', async () => {
    const { server, client } = await openClient();
    server.chat('c').append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    const receipt = chat.send('hello');
    expect(chat.snapshot().messages).toMatchObject([{ role: 'user', delivery: 'sending' }]);
    const { messageId, runId } = await receipt;
    const snapshot = await shows(chat, ({ runs }) => runs.length === 1);
    expect(snapshot.messages).toMatchObject([{ messageId, runId, delivery: 'sent' }]);
  });

  it('stores one message when the reply was lost, with one retry under the same id', async () => {
    const { server, client } = await openClient();
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    server.faults.loseReplies = 1;
    const receipt = await chat.send('hello');
    const posts = server.posts('/messages');
    expect(posts).toHaveLength(2);
    expect(posts[1]?.body).toEqual(posts[0]?.body);
    expect(posts[0]?.body).toMatchObject({ messageId: receipt.messageId });
    expect(texts(await shows(chat, ({ runs }) => runs.length === 1))).toEqual(['user: hello']);
    expect(server.chat('c').events.filter((item) => item.event === 'message.created')).toHaveLength(1);
  });

  it('is one call for one id, however often it is called meanwhile', async () => {
    const { server, client } = await openClient();
    const chat = client.chat('c');
    await Promise.all([chat.send('a', { messageId: 'm' }), chat.send('a', { messageId: 'm' })]);
    expect(server.posts('/messages')).toHaveLength(1);
  });

  it('passes on model, agent and what to do while busy', async () => {
    const { server, client } = await openClient();
    await client.chat('c').send('a', { model: 'm', agent: 'b', onBusy: 'interrupt', priority: 'low' });
    expect(server.posts('/messages')[0]?.body).toMatchObject({
      content: 'a',
      model: 'm',
      agent: 'b',
      onBusy: 'interrupt',
      priority: 'low',
    });
  });

  it('passes on the details of a chat that the message creates', async () => {
    const { server, client } = await openClient();
    const details = { title: 't', metadata: { a: 1 }, ttlMs: 60_000, isListed: false };
    await client.chat('c').send('a', details);
    expect(server.posts('/messages')[0]?.body).toMatchObject(details);
  });

  it('sends options, and results in place of content', async () => {
    const { server, client } = await openClient();
    const more = { toolResults: [{ toolCallId: 'c', result: 1 }], options: { temperature: 1 } };
    await client.chat('c').send('', more);
    const [post] = server.posts('/messages');
    expect(post?.body).toMatchObject(more);
    expect(post?.body).not.toHaveProperty('content');
    await client.chat('c').send('x', more);
    expect(server.posts('/messages')[1]?.body).toMatchObject({ content: 'x', ...more });
  });

  it('waits as long as the server requires before it tries again', async () => {
    const { server, client, environment } = await openClient({ hurryUpToMs: -1 });
    server.faults.status = { status: 429, retryAfter: '7' };
    const receipt = client.chat('c').send('a');
    await until(() => environment.waits.includes(7_000));
    server.faults.status = undefined;
    environment.wake('online');
    environment.advance(6_999);
    // Everything sent before this call has arrived when it is answered.
    await client.sessions();
    expect(server.posts('/messages')).toHaveLength(1);
    environment.advance(1);
    await receipt;
    expect(server.posts('/messages')).toHaveLength(2);
  });

  it('gives up on a reply that never comes, and tries again', async () => {
    let isHanging = true;
    const hanging = (url: string, init: RequestInit): Promise<Response> => {
      if (!isHanging || init.method !== 'POST') return fetch(url, init);
      isHanging = false;
      return new Promise((_resolve, reject) =>
        init.signal?.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    };
    const { server, client, environment } = await openClient({ fetch: hanging });
    const receipt = client.chat('c').send('a');
    await until(() => !isHanging);
    environment.advance(CALL_TIMEOUT_MS);
    await receipt;
    expect(server.posts('/messages')).toHaveLength(1);
  });

  it('keeps a refused message as unsent, with the reason, until it is sent again or discarded', async () => {
    const { server, client } = await openClient();
    const chat = client.chat('c');
    server.faults.status = { status: 403 };
    const error: unknown = await chat.send('a', { messageId: 'm' }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ChatClientError);
    expect(error).toMatchObject({ code: 'code-403', status: 403, retryable: false });
    expect(chat.snapshot().messages).toMatchObject([
      { messageId: 'm', delivery: 'unsent', error: { code: 'code-403' } },
    ]);
    chat.discard('m');
    expect(chat.snapshot().messages).toEqual([]);
  });

  it('gives up after the last try, and sends the same message when it is called again', async () => {
    const { server, client, environment } = await openClient({
      hurryUpToMs: CALL_TIMEOUT_MS - 1,
      patienceMs: PATIENCE_MS,
    });
    environment.randomValue = 0.9;
    server.faults.status = { status: 503 };
    const chat = client.chat('c');
    await expect(chat.send('a', { messageId: 'm' })).rejects.toMatchObject({ status: 503, retryable: true });
    server.faults.status = undefined;
    await chat.send('a', { messageId: 'm' });
    const snapshot = await shows(chat, ({ runs }) => runs.length === 1);
    expect(snapshot.messages).toMatchObject([{ messageId: 'm', delivery: 'sent' }]);
  });

  it('renews a refused token once and sends', async () => {
    let count = 0;
    const { server, client } = await openClient({ token: () => Promise.resolve(`t${(count += 1)}`) });
    server.faults.refusedTokens.add('t1');
    await client.chat('c').send('a');
    expect(count).toBe(2);
  });

  it('rejects pending sends when the chat is closed', async () => {
    const { server, client } = await openClient();
    server.faults.status = { status: 503 };
    const chat = client.chat('c');
    const receipt = chat.send('a');
    chat.close();
    await expect(receipt).rejects.toMatchObject({ code: 'closed' });
  });

  it('ends a pause when the chat is closed, and leaves no timer', async () => {
    const { server, client, environment } = await openClient({ hurryUpToMs: -1, transport: 'sse' });
    server.faults.status = { status: 429, retryAfter: '9' };
    const chat = client.chat('c');
    const receipt = chat.send('a');
    // The stream and the message are both waiting.
    await until(() => environment.waits.filter((ms) => ms === 9_000).length === 2);
    chat.close();
    await expect(receipt).rejects.toMatchObject({ code: 'closed' });
    expect(environment.waits).toEqual([]);
  });
});

describe('stopping', () => {
  it('stops the run that is writing by its id, and keeps the text so far', async () => {
    const { server, client } = await openClient();
    const scripted = server.chat('c');
    scripted.append('message.created', { messageId: 'p', role: 'user', content: 'q' });
    scripted.append('run.queued', { runId: 'r', messageId: 'p' });
    scripted.append('run.started', { runId: 'r', messageId: 'a', attempt: 1 });
    scripted.append('delta', { runId: 'r', messageId: 'a', part: 0, kind: 'text', at: 0, text: 'half' });
    const chat = client.chat('c');
    await shows(chat, isLive);
    expect(await chat.stop()).toBe('r');
    expect(server.posts('/cancel')[0]?.body).toEqual({ runId: 'r' });
    const snapshot = await shows(chat, ({ runs }) => runs[0]?.state === 'cancelled');
    expect(texts(snapshot)).toEqual(['user: q', 'assistant: half']);
    expect(snapshot.activeRun).toBeUndefined();
  });

  it('is no error when no run is active', async () => {
    const { server, client } = await openClient();
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(chat, isLive);
    expect(await chat.stop()).toBeUndefined();
  });
});

describe('the client', () => {
  it('creates under an id of its own, lists and removes', async () => {
    const { server, client } = await openClient();
    const { sessionId } = await client.create({ title: 'First' });
    expect(sessionId).toMatch(/^[0-9a-f]{32}$/);
    expect((await client.sessions({ limit: 5 })).sessions).toMatchObject([{ sessionId }]);
    expect(await client.history(sessionId)).toMatchObject({ messages: [] });
    await client.remove(sessionId);
    expect(server.chats.size).toBe(0);
  });

  it('changes the title of a chat', async () => {
    const asked: unknown[] = [];
    const answering = (url: string, { method, body }: RequestInit): Promise<Response> => {
      asked.push([method, new URL(url).pathname, body]);
      return Promise.resolve(Response.json({}));
    };
    const { client } = await openClient({ fetch: answering });
    await client.update('a/b', { title: 'Second' });
    expect(asked).toEqual([['PATCH', '/v1/sessions/a%2Fb', '{"title":"Second"}']]);
  });

  it('requests the next page of the list with the cursor of the page before', async () => {
    const asked: string[] = [];
    const pages = [
      { sessions: [{ sessionId: 'a' }], more: true, after: 'a+b..' },
      { sessions: [{ sessionId: 'b' }], more: false },
    ];
    const paged = (url: string): Promise<Response> =>
      Promise.resolve(Response.json(pages[asked.push(new URL(url).search) - 1]));
    const { client } = await openClient({ fetch: paged });
    const first = await client.sessions({ limit: 1 });
    const second = await client.sessions({ limit: 1, ...(first.after === undefined ? {} : { after: first.after }) });
    expect([first.more, second.more, second.after]).toEqual([true, false, undefined]);
    expect(asked).toEqual(['?limit=1', '?limit=1&after=a%2Bb..']);
  });

  it('refuses an answer that is not of this protocol', async () => {
    const portal = (): Promise<Response> => Promise.resolve(new Response('{"welcome":"to our hotel"}'));
    const { client } = await openClient({ fetch: portal });
    await expect(client.sessions()).rejects.toMatchObject({ code: 'not-holdline' });
  });

  it('tries again when a foreign page answered, as before a log-in', async () => {
    let pages = 0;
    const portal = (url: string, init: RequestInit): Promise<Response> =>
      (pages += 1) === 1 ? Promise.resolve(new Response('<h1>Welcome to our hotel</h1>')) : fetch(url, init);
    const { client } = await openClient({ fetch: portal });
    expect(await client.sessions()).toEqual({ sessions: [], more: false });
    expect(pages).toBe(2);
  });
});
