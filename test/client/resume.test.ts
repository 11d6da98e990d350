// With any fault of the connection, the chat is shown exactly once: over real sockets, on both wires.
import { describe, expect, it } from 'vitest';
import { isLive, openClient, shows, texts } from './open-client.ts';

const ANSWER = ['Every ', 'tok', 'en 😀 ', 'of ', 'this ', 'was ', 'paid ', 'for.'];
const EXPECTED = ['user: why', `assistant: ${ANSWER.join('')}`];

describe.each(['sse', 'websocket'] as const)('over %s', (transport) => {
  it('reads a chat from its beginning and follows it', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    const chat = client.chat('c');
    expect(texts(await shows(chat, isLive))).toEqual(EXPECTED);
    server.chat('c').appendTurn('2', 'again', ['yes']);
    const snapshot = await shows(
      chat,
      ({ runs }) => runs.length === 2 && runs.every((run) => run.state === 'completed'),
    );
    expect(texts(snapshot)).toEqual([...EXPECTED, 'user: again', 'assistant: yes']);
    expect(snapshot).toMatchObject({
      wire: transport,
      position: server.chat('c').position,
      counters: { resumes: 0, duplicatesDropped: 0 },
    });
  });

  it('is exact after a cut behind every single event', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    server.faults.cutAfter = 1;
    const chat = client.chat('c');
    const total = server.chat('c').events.length;
    await shows(chat, ({ runs }) => runs[0]?.state === 'completed');
    const snapshot = await shows(chat, isLive);
    expect(texts(snapshot)).toEqual(EXPECTED);
    // One connection for each event, and a last one that has nothing left to deliver.
    expect(snapshot.counters).toMatchObject({
      events: total,
      resumes: total,
      duplicatesDropped: 0,
      resets: 0,
      rejoins: 0,
    });
  });

  it('is exact with a cut after every event while the answer is being written', async () => {
    const { server, client } = await openClient({ transport });
    const scripted = server.chat('c');
    const chat = client.chat('c');
    await shows(chat, isLive);
    scripted.append('message.created', { messageId: 'p', role: 'user', content: 'why' });
    scripted.append('run.started', { runId: 'r', messageId: 'a', attempt: 1 });
    let at = 0;
    for (const text of ANSWER) {
      scripted.append('delta', { runId: 'r', messageId: 'a', part: 0, kind: 'text', at, text });
      at += text.length;
      await shows(chat, ({ position }) => position === scripted.position);
      const { resumes } = chat.snapshot().counters;
      scripted.cutAll();
      await shows(chat, ({ connection, counters }) => connection.state === 'live' && counters.resumes === resumes + 1);
    }
    expect(texts(chat.snapshot())).toEqual(EXPECTED);
  });

  it('treats merged deltas like single ones, from any cut', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    server.faults.cutAfter = 5;
    const chat = client.chat('c');
    await shows(chat, ({ counters }) => counters.resumes === 1);
    server.faults.merge = true;
    expect(texts(await shows(chat, isLive))).toEqual(EXPECTED);
  });

  it('drops and counts repeated events', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    server.faults.repeat = 4;
    const chat = client.chat('c');
    await shows(chat, isLive);
    server.chat('c').cutAll();
    const snapshot = await shows(
      chat,
      ({ connection, counters }) => connection.state === 'live' && counters.resumes === 1,
    );
    expect(texts(snapshot)).toEqual(EXPECTED);
    expect(snapshot.counters.duplicatesDropped).toBe(4);
  });

  it('reads again from before an event that did not join', async () => {
    const { server, client } = await openClient({ transport });
    server.chat('c').appendTurn('1', 'why', ANSWER);
    server.faults.omit.add(5);
    const snapshot = await shows(client.chat('c'), isLive);
    expect(texts(snapshot)).toEqual(EXPECTED);
    expect(snapshot.counters).toMatchObject({ rejoins: 1, resets: 0 });
  });

  it('starts over after a reset, and shows the old chat until the new one is whole', async () => {
    const { server, client } = await openClient({ transport });
    const scripted = server.chat('c');
    scripted.appendTurn('1', 'why', ANSWER);
    const chat = client.chat('c');
    const before = await shows(chat, isLive);
    // The server lost the end of its log and continued with new events.
    scripted.startEpoch('e2', scripted.events.slice(0, 9));
    scripted.append('run.failed', { runId: 'run-1', error: { code: 'lost', message: 'x', retryable: true } });
    const seen: string[] = [];
    const stop = chat.subscribe(() => seen.push(texts(chat.snapshot()).join()));
    scripted.cutAll();
    const after = await shows(chat, ({ counters, connection }) => counters.resets === 1 && connection.state === 'live');
    stop();
    const shorter = `assistant: ${ANSWER.slice(0, 6).join('')}`;
    expect(texts(after)).toEqual(['user: why', shorter]);
    expect(new Set(seen)).toEqual(new Set([EXPECTED.join(), `user: why,${shorter}`]));
    expect(after.messages[0]).toBe(before.messages[0]);
    expect(after.position).toBe('e2.9');
  });
});
