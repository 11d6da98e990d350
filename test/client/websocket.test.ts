// What only the WebSocket has: several chats on one socket, close codes, token renewal on the socket, and `auto`.
import { describe, expect, it } from 'vitest';
import { SOCKET_QUIET_MS } from '../../src/client/wire/shared-socket.ts';
import { isClosed, isLive, isWaiting, openClient, shows, texts, until } from './open-client.ts';

const transport = 'websocket';

function jwt(name: string, expiresAtMs: number): string {
  return `${name}.${Buffer.from(JSON.stringify({ exp: expiresAtMs / 1000 })).toString('base64url')}.s`;
}

describe('one socket', () => {
  it('carries several chats, each from its own position, and is closed with the last', async () => {
    const { server, client, environment } = await openClient({ transport });
    for (const name of ['a', 'b', 'c']) server.chat(name).appendTurn('1', name, [name, name]);
    const chats = ['a', 'b', 'c'].map((name) => client.chat(name));
    const snapshots = await Promise.all(chats.map((chat) => shows(chat, isLive)));
    expect(snapshots.map((snapshot) => texts(snapshot)[1])).toEqual([
      'assistant: aa',
      'assistant: bb',
      'assistant: cc',
    ]);
    expect(server.socketCount).toBe(1);
    server.chat('a').cutAll();
    await Promise.all(
      chats.map((chat) =>
        shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1),
      ),
    );
    expect(server.socketCount).toBe(2);
    const resumed = server.frames.filter(({ socket, frame }) => socket === 2 && frame['type'] === 'subscribe');
    expect(resumed.map(({ frame }) => frame['after'])).toEqual(
      ['a', 'b', 'c'].map((name) => server.chat(name).position),
    );
    chats[0]?.close();
    expect(chats[1]?.snapshot().connection.state).toBe('live');
    chats[1]?.close();
    chats[2]?.close();
    environment.advance(0);
    expect(environment.waits).toEqual([]);
  });

  it('authenticates in its first frame, and sends a ping when it receives nothing', async () => {
    const { server, client, environment } = await openClient({ transport });
    await shows(client.chat((server.chat('c').append('session.created', {}), 'c')), isLive);
    environment.advance(SOCKET_QUIET_MS);
    await until(() => server.frames.length >= 3);
    expect(server.frames.map(({ frame }) => frame)).toEqual([
      { type: 'auth', token: 'good' },
      { type: 'subscribe', sessionId: 'c', after: 'earliest' },
      { type: 'ping' },
    ]);
  });

  it('ignores a subscription that it has left, until the new one is answered', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'q', ['a', 'b', 'c', 'd', 'e', 'f']);
    server.chat('other').append('session.created', {});
    await shows(client.chat('other'), isLive);
    // The delta after the omitted one does not join; those behind it are already under way.
    server.faults.omit.add(4);
    const snapshot = await shows(client.chat('c'), isLive);
    expect(texts(snapshot)[1]).toBe('assistant: abcdef');
    expect(snapshot.counters).toMatchObject({ rejoins: 1, duplicatesDropped: 0 });
    expect(server.socketCount).toBe(1);
  });

  it('checks all its chats with one ping, and ends for all when no answer comes', async () => {
    const { server, client, environment } = await openClient({ transport });
    const chats = ['a', 'b'].map((name) => client.chat((server.chat(name).append('session.created', {}), name)));
    await Promise.all(chats.map((chat) => shows(chat, isLive)));
    server.faults.isSilent = true;
    environment.wake('visible');
    environment.advance(2_999);
    expect(chats[0]?.snapshot().connection.state).toBe('live');
    server.faults.isSilent = false;
    environment.advance(1);
    await Promise.all(
      chats.map((chat) =>
        shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1),
      ),
    );
    expect(server.socketCount).toBe(2);
    expect(server.frames.filter(({ frame }) => frame['type'] === 'ping')).toHaveLength(1);
  });

  it('is replaced by one new socket, not by one for each chat, when the network changed', async () => {
    const { server, client, environment } = await openClient({ transport });
    const chats = ['a', 'b', 'c'].map((name) => client.chat((server.chat(name).append('session.created', {}), name)));
    await Promise.all(chats.map((chat) => shows(chat, isLive)));
    environment.wake('online');
    await Promise.all(
      chats.map((chat) =>
        shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1),
      ),
    );
    expect(server.socketCount).toBe(2);
  });

  it('keeps its other chats when one ends', async () => {
    const { server, client } = await openClient({ transport });
    const kept = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(kept, isLive);
    expect((await shows(client.chat('nowhere'), isClosed)).connection).toMatchObject({ reason: 'not-found' });
    expect(kept.snapshot().connection.state).toBe('live');
    expect(server.socketCount).toBe(1);
  });
});

describe('close codes', () => {
  it.each([
    [4400, 'refused'],
    [4403, 'forbidden'],
  ])('%i is final', async (code, reason) => {
    const { server, client } = await openClient({ transport });
    server.chat('c');
    server.faults.socketClose = { code, reason: 'scripted' };
    expect((await shows(client.chat('c'), isClosed)).connection).toMatchObject({ reason });
  });

  it.each([
    [4503, '{"afterMs":3000}'],
    [4429, 'afterMs=3000'],
  ])('%i waits as long as it says', async (code, reason) => {
    const { server, client, environment } = await openClient({ transport });
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(chat, isLive);
    server.closeSockets(code, reason);
    expect((await shows(chat, isWaiting)).connection).toMatchObject({ retryInMs: 3_000 });
    environment.advance(3_000);
    await shows(chat, ({ counters, connection }) => counters.resumes === 1 && connection.state === 'live');
  });

  it.each([1009, 1011, 4408, 4999])('%i is followed by a reconnect', async (code) => {
    const { server, client } = await openClient({ transport });
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(chat, isLive);
    server.closeSockets(code, 'scripted');
    await shows(chat, ({ counters, connection }) => counters.resumes === 1 && connection.state === 'live');
  });
});

describe('the token', () => {
  it('is renewed on the socket before it expires, and the stream continues', async () => {
    let count = 0;
    const { server, client, environment } = await openClient({
      transport,
      token: () => Promise.resolve(jwt(`t${(count += 1)}`, environmentNow() + 120_000)),
    });
    const environmentNow = (): number => environment.now();
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(chat, isLive);
    // Half a minute before the expiry, in steps that the pings can follow.
    for (let passed = 0; passed < 90; passed += 15) {
      environment.advance(15_000);
      server.chat('c').append('session.updated', { title: String(passed) });
      await shows(chat, ({ title }) => title === String(passed));
    }
    await until(() => server.frames.filter(({ frame }) => frame['type'] === 'auth').length >= 2);
    expect(count).toBe(2);
    expect(server.socketCount).toBe(1);
    expect(chat.snapshot().counters.resumes).toBe(0);
  });
});

describe('auto', () => {
  it('uses WebSocket where it gets through', async () => {
    const { server, client } = await openClient();
    server.chat('c').append('session.created', {});
    expect((await shows(client.chat('c'), isLive)).wire).toBe('websocket');
  });

  it('falls back to SSE for every chat where WebSocket does not get through', async () => {
    const { server, client } = await openClient();
    server.faults.noWebSocket = true;
    server.chat('c').appendTurn('1', 'q', ['a']);
    expect((await shows(client.chat('c'), isLive)).wire).toBe('sse');
    server.chat('d').append('session.created', {});
    expect((await shows(client.chat('d'), isLive)).wire).toBe('sse');
  });

  it('moves every chat to another wire in the middle of an answer, from its position', async () => {
    const { server, client } = await openClient({ transport: 'sse' });
    const scripted = server.chat('c');
    scripted.append('message.created', { messageId: 'p', role: 'user', content: 'q' });
    scripted.append('run.started', { runId: 'r', messageId: 'a', attempt: 1 });
    scripted.append('delta', { runId: 'r', messageId: 'a', part: 0, kind: 'text', at: 0, text: 'one ' });
    const chat = client.chat('c');
    await shows(chat, isLive);
    client.useTransport('websocket');
    scripted.append('delta', { runId: 'r', messageId: 'a', part: 0, kind: 'text', at: 4, text: 'two' });
    const snapshot = await shows(chat, ({ connection, wire }) => connection.state === 'live' && wire === 'websocket');
    expect(texts(snapshot)[1]).toBe('assistant: one two');
    expect(snapshot.counters).toMatchObject({ events: 4, resumes: 1, duplicatesDropped: 0 });
  });
});
