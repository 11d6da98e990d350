// What a chat does when its event stream is refused, or when the answer is no event stream.
import { describe, expect, it } from 'vitest';
import { isClosed, isLive, isWaiting, openClient, shows } from './open-client.ts';

const transport = 'sse';

describe('an event stream', () => {
  it.each([
    [403, 'forbidden'],
    [404, 'not-found'],
    [400, 'refused'],
    [410, 'refused'],
  ])('refused with %i is given up', async (status, reason) => {
    const { server, client } = await openClient({ transport });
    server.faults.status = { status };
    expect((await shows(client.chat('c'), isClosed)).connection).toMatchObject({ reason });
    expect(server.requests).toHaveLength(1);
  });

  it.each([500, 502, 503])('refused with %i is tried again', async (status) => {
    const { server, client } = await openClient({ transport });
    server.chat('c').append('session.created', {});
    server.faults.status = { status };
    const chat = client.chat('c');
    await shows(chat, () => server.requests.length >= 3);
    server.faults.status = undefined;
    await shows(chat, isLive);
  });

  it('refused with Retry-After is tried again after that time, and not before', async () => {
    const { server, client, environment } = await openClient({ transport });
    server.chat('c').append('session.created', {});
    server.faults.status = { status: 429, retryAfter: '3' };
    const chat = client.chat('c');
    expect((await shows(chat, isWaiting)).connection).toMatchObject({ retryInMs: 3_000 });
    server.faults.status = undefined;
    environment.wake('visible');
    expect(chat.snapshot().connection.state).toBe('waiting');
    environment.advance(3_000);
    await shows(chat, isLive);
  });

  it.each([
    ['a page of somebody else', 'text/html', '<h1>Please log in</h1>'],
    ['an event that is not JSON', 'text/event-stream', 'id: e.1\nevent: delta\ndata: {"runId\n\n'],
  ])('that is %s is not believed', async (_name, type, body) => {
    let count = 0;
    const once = (url: string, init: RequestInit): Promise<Response> =>
      (count += 1) === 1
        ? Promise.resolve(new Response(body, { headers: { 'content-type': type } }))
        : fetch(url, init);
    const { server, client } = await openClient({ transport, fetch: once });
    server.chat('c').append('session.updated', { title: 'ours' });
    const snapshot = await shows(client.chat('c'), isLive);
    expect(snapshot).toMatchObject({ title: 'ours', position: 'e1.0' });
    expect(count).toBe(2);
  });

  it.each([
    ['undefined, as in React Native', undefined],
    ['null', null],
  ])('whose answer has a body that is %s is tried again', async (_name, body) => {
    let count = 0;
    const headers = new Headers({ 'content-type': 'text/event-stream' });
    const once = (url: string, init: RequestInit): Promise<Response> =>
      (count += 1) === 1 ? Promise.resolve({ ok: true, status: 200, headers, body } as Response) : fetch(url, init);
    const { server, client } = await openClient({ transport, fetch: once });
    server.chat('c').append('session.created', {});
    await shows(client.chat('c'), isLive);
    expect(count).toBe(2);
  });

  it('is requested from behind the position held, in the header that EventSource uses', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'q', ['a']);
    const chat = client.chat('c');
    await shows(chat, isLive);
    server.chat('c').cutAll();
    await shows(chat, ({ counters }) => counters.resumes === 1);
    expect(server.requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, 'e1.4']);
    expect(server.requests[1]?.headers.authorization).toBe('Bearer good');
  });
});
