// When a connection is used, when it is left, and when the client stops: over real sockets, on both wires.
import { describe, expect, it } from 'vitest';
import { SOCKET_QUIET_MS } from '../../src/client/wire/shared-socket.ts';
import { LOOKS_MAX, MissingChat } from '../../src/client/wire/missing-chat.ts';
import { ManualEnvironment } from './manual-environment.ts';
import { isClosed, isLive, isWaiting, openClient, shows, texts, until } from './open-client.ts';

const ANSWER = ['half ', 'an ', 'answer'];
const EXPECTED = ['user: why', `assistant: ${ANSWER.join('')}`];

describe.each(['sse', 'websocket'] as const)('over %s', (transport) => {
  it('detects a half-open connection by its silence, and resumes over a new one', async () => {
    const { server, client, environment } = await openClient({ transport });
    const scripted = server.chat('c');
    scripted.appendTurn('1', 'why', []);
    const chat = client.chat('c');
    await shows(chat, isLive);
    server.faults.isSilent = true;
    scripted.append('message.created', { messageId: 'm', role: 'user', content: 'anybody?' });
    // Two missing comments of the server on SSE; or a ping after 15 s without an answer within 8 s.
    const limit = transport === 'sse' ? 32_000 : 23_000;
    environment.advance(limit - 1);
    expect(chat.snapshot().connection.state).toBe('live');
    server.faults.isSilent = false;
    environment.advance(1);
    const snapshot = await shows(
      chat,
      ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1,
    );
    expect(texts(snapshot).at(-1)).toBe('user: anybody?');
  });

  it('keeps the connection while heartbeats come', async () => {
    const { server, client, environment } = await openClient({ transport });
    const chat = client.chat((server.chat('c').append('session.created', {}), 'c'));
    await shows(chat, isLive);
    for (let beat = 1; beat <= 12; beat += 1) {
      environment.advance(SOCKET_QUIET_MS);
      server.chat('c').beat();
      // An event that crosses the same socket behind the heartbeat: when it arrives, the heartbeat has arrived.
      server.chat('c').append('session.updated', { title: `beat ${beat}` });
      await shows(chat, ({ title }) => title === `beat ${beat}`);
    }
    expect(chat.snapshot().counters.resumes).toBe(0);
  });

  it('renews a refused token once, and gives up when the new one is refused too', async () => {
    let count = 0;
    const token = (): Promise<string> => Promise.resolve(`t${(count += 1)}`);
    const { server, client } = await openClient({ transport, token });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    server.faults.refusedTokens.add('t1');
    const chat = client.chat('c');
    expect(texts(await shows(chat, isLive))).toEqual(EXPECTED);
    expect(count).toBe(2);
    for (const refused of ['t2', 't3', 't4']) server.faults.refusedTokens.add(refused);
    server.chat('c').cutAll();
    const closed = await shows(chat, isClosed);
    expect(closed.connection).toMatchObject({ reason: 'unauthorized' });
    expect(count).toBe(3);
    expect(texts(closed)).toEqual(EXPECTED);
  });

  it('stops at once when a token that cannot be renewed is refused', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c');
    server.faults.refusedTokens.add('good');
    expect((await shows(client.chat('c'), isClosed)).connection).toMatchObject({ reason: 'unauthorized' });
    expect(transport === 'sse' ? server.requests.length : server.socketCount).toBe(1);
  });

  it('renews an expired token and continues where it was', async () => {
    let count = 0;
    const { server, client, environment } = await openClient({
      transport,
      token: () => Promise.resolve(`t${(count += 1)}`),
    });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    const chat = client.chat('c');
    await shows(chat, isLive);
    environment.sleep(10_000);
    server.faults.refusedTokens.add('t1');
    server.chat('c').control('expired', {});
    const snapshot = await shows(
      chat,
      ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1,
    );
    expect(texts(snapshot)).toEqual(EXPECTED);
    expect(count).toBe(2);
  });

  it('reconnects when the server said that it is going, neither before nor much later', async () => {
    const { server, client, environment } = await openClient({ transport });
    const scripted = server.chat('c');
    scripted.append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    scripted.control('reconnect', { afterMs: 4_000 });
    // The server serves until then.
    scripted.append('session.updated', { title: 'going' });
    await shows(chat, ({ title }) => title === 'going');
    scripted.endAll();
    const waiting = await shows(chat, isWaiting);
    expect(waiting.connection).toMatchObject({ retryInMs: 4_000 });
    environment.wake('online');
    environment.advance(3_999);
    expect(chat.snapshot().connection.state).toBe('waiting');
    environment.advance(1);
    await shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1);
  });

  it('gives up on a missing chat, until a message creates it', async () => {
    const { client } = await openClient({ transport });
    const chat = client.chat('fresh');
    expect((await shows(chat, isClosed)).connection).toMatchObject({ reason: 'not-found' });
    await chat.send('hello');
    expect(texts(await shows(chat, isLive))).toEqual(['user: hello']);
  });

  it('finds a missing chat that somebody else creates, and shows no attempt that finds nothing', async () => {
    const { server, client, environment } = await openClient({ transport, hurryUpToMs: 0 });
    const chat = client.chat('fresh');
    await shows(chat, isClosed);
    const states = new Set<string>();
    chat.subscribe(() => states.add(chat.snapshot().connection.state));
    const looks = (): number =>
      transport === 'sse'
        ? server.requests.length
        : server.frames.filter(({ frame }) => frame['type'] === 'subscribe').length;
    environment.advance(1_000);
    await until(() => looks() === 2 && environment.waits.includes(2_000));
    expect([...states]).not.toContain('connecting');
    server.chat('fresh').appendTurn('1', 'why', ANSWER);
    environment.advance(2_000);
    expect(texts(await shows(chat, isLive))).toEqual(EXPECTED);
    expect(looks()).toBe(3);
  });

  it('looks for a missing chat when the device comes back, and never after it was closed', async () => {
    const { server, client, environment } = await openClient({ transport, hurryUpToMs: 0 });
    const [chat, left] = [client.chat('fresh'), client.chat('left')];
    await Promise.all([shows(chat, isClosed), shows(left, isClosed)]);
    left.close();
    for (const id of ['fresh', 'left']) server.chat(id).appendTurn('1', 'why', ANSWER);
    environment.wake('visible');
    left.wake('visible');
    await shows(chat, isLive);
    environment.advance(60_000);
    expect(left.snapshot().connection).toMatchObject({ state: 'closed', reason: 'closed' });
  });

  it('keeps showing a removed chat, and reports the removal', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    const chat = client.chat('c');
    await shows(chat, isLive);
    await client.remove('c');
    const closed = await shows(chat, isClosed);
    expect(closed.connection).toMatchObject({ reason: 'removed' });
    expect(texts(closed)).toEqual(EXPECTED);
    await client.remove('c');
  });

  it('ends its own wait at once when the device comes back', async () => {
    const { server, client, environment } = await openClient({ transport, hurryUpToMs: -1 });
    server.chat('c').append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    environment.randomValue = 0.5;
    server.chat('c').cutAll();
    await shows(chat, isWaiting);
    environment.wake('visible');
    await shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1);
  });

  it('checks a connection that was silent through a sleep', async () => {
    const { server, client, environment } = await openClient({ transport });
    server.chat('c').append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    environment.wake('visible');
    environment.sleep(60_000);
    environment.wake('visible');
    const snapshot = await shows(
      chat,
      ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1,
    );
    expect(snapshot.counters.resumes).toBe(1);
  });

  it('reports offline while the device does, and reconnects with it', async () => {
    const { server, client, environment } = await openClient({ transport, hurryUpToMs: -1 });
    server.chat('c').append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    environment.online = false;
    server.chat('c').cutAll();
    await shows(chat, ({ connection }) => connection.state === 'offline');
    environment.online = true;
    environment.wake('online');
    await shows(chat, isLive);
  });

  it('slows down for a server that accepts connections and drops them', async () => {
    const { server, client, environment } = await openClient({ transport, hurryUpToMs: -1 });
    server.chat('c').append('session.created', {});
    environment.randomValue = 0.999;
    const chat = client.chat('c');
    const waits: number[] = [];
    await shows(chat, isLive);
    for (let cut = 0; cut < 6; cut += 1) {
      server.chat('c').cutAll();
      const { connection } = await shows(chat, isWaiting);
      if (connection.state !== 'waiting') continue;
      waits.push(connection.retryInMs);
      environment.advance(connection.retryInMs);
      await shows(chat, isLive);
    }
    const base = transport === 'sse' ? 200 : 250;
    expect(waits).toEqual([1, 2, 4, 8, 16, 32].map((factor) => Math.floor(0.999 * base * factor)));
    // Progress resets the back-off.
    server.chat('c').append('session.updated', { title: 'progress' });
    await shows(chat, ({ title }) => title === 'progress');
    server.chat('c').cutAll();
    expect((await shows(chat, isWaiting)).connection).toMatchObject({ retryInMs: Math.floor(0.999 * base) });
  });

  it('is closed for good by close, and leaves nothing running', async () => {
    const { server, client, environment } = await openClient({ transport });
    server.chat('c').append('session.created', {});
    const chat = client.chat('c');
    await shows(chat, isLive);
    chat.close();
    expect(chat.snapshot().connection).toMatchObject({ state: 'closed', reason: 'closed' });
    environment.advance(0);
    expect(environment.waits).toEqual([]);
    expect(client.chat('c')).not.toBe(chat);
  });
});

describe('a missing chat', () => {
  it('is looked for in growing intervals, a bounded number of times, and again from the first wait after a reason', () => {
    const environment = new ManualEnvironment();
    let looks = 0;
    const missing = new MissingChat(environment, () => {
      looks += 1;
      missing.lookLater();
    });
    missing.lookLater();
    const waits: number[] = [];
    while (environment.waits.length > 0) {
      waits.push(...environment.waits);
      environment.advance(environment.waits[0] ?? 0);
    }
    expect(looks).toBe(LOOKS_MAX);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[0]).toBe(1_000);
    missing.forget();
    missing.lookLater();
    expect(environment.waits).toEqual([1_000]);
    missing.cancel();
    expect(environment.waits).toEqual([]);
  });
});
