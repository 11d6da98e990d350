// Regenerate, edit, withdraw and select through a chat: each is done once, even when its reply is lost, and every
// reader shows the result.
import { describe, expect, it } from 'vitest';
import { isLive, openClient, shows, texts } from './open-client.ts';
import type { Opened } from './open-client.ts';

async function openAnswered(): Promise<Opened & { chat: ReturnType<Opened['client']['chat']> }> {
  const opened = await openClient();
  opened.server.chat('c').appendTurn('1', 'why', ['because']);
  const chat = opened.client.chat('c');
  await shows(chat, isLive);
  return { ...opened, chat };
}

describe('another answer', () => {
  it('is requested once, however often the reply is lost, and the first answer can still be selected', async () => {
    const { server, chat } = await openAnswered();
    server.faults.loseReplies = 2;
    const { answerId, runId } = await chat.regenerate('prompt-1', { model: 'm2' });
    const posts = server.posts('/regenerate');
    expect(posts.map(({ body }) => body)).toEqual(Array(3).fill({ answerId, model: 'm2' }));
    expect(posts[0]?.path).toBe('/v1/sessions/c/messages/prompt-1/regenerate');
    const waiting = await shows(chat, ({ runs }) => runs.length === 2);
    expect(texts(waiting)).toEqual(['user: why']);
    expect(waiting.messages[0]?.answers).toEqual({ place: 2, count: 2, previous: 'run-1', next: undefined });
    server.chat('c').append('run.started', { runId, messageId: answerId, attempt: 1 });
    const begun = await shows(chat, ({ messages }) => messages.length === 2);
    expect(begun.messages[0]?.answers).toBeUndefined();
    expect(begun.messages[1]).toMatchObject({
      messageId: answerId,
      alternatives: { place: 2, count: 2, previous: 'run-1' },
    });
    await chat.select('run-1');
    const back = await shows(chat, ({ messages }) => messages[1]?.messageId === 'answer-1');
    expect(back.messages[1]?.alternatives).toEqual({ place: 1, count: 2, previous: undefined, next: runId });
  });
});

describe('a prompt that replaces another', () => {
  it('is shown in its place, and the replaced one can be shown again', async () => {
    const { server, chat } = await openAnswered();
    await chat.send('why not', { replaces: 'prompt-1' });
    expect(server.posts('/messages')[0]?.body).toMatchObject({ content: 'why not', replaces: 'prompt-1' });
    const replaced = await shows(chat, ({ runs }) => runs.length === 2);
    expect(texts(replaced)).toEqual(['user: why not']);
    expect(replaced.messages[0]?.alternatives).toMatchObject({ place: 2, count: 2, previous: 'run-1' });
    await chat.select('run-1');
    expect(texts(await shows(chat, ({ messages }) => messages.length === 2))).toEqual([
      'user: why',
      'assistant: because',
    ]);
  });

  it('names the run that it follows where the program says so', async () => {
    const { server, chat } = await openAnswered();
    await chat.send('and', { after: 'run-1' });
    expect(server.posts('/messages')[0]?.body).toMatchObject({ content: 'and', after: 'run-1' });
  });

  it('is kept as unsent when it cannot be sent, and is not shown twice on another branch', async () => {
    const { server, chat } = await openAnswered();
    server.faults.status = { status: 403 };
    await expect(chat.send('why not', { messageId: 'm', replaces: 'prompt-1' })).rejects.toMatchObject({ status: 403 });
    const unsent = chat.snapshot();
    expect(texts(unsent)).toEqual(['user: why', 'assistant: because', 'user: why not']);
    expect(unsent.messages[2]).toMatchObject({ delivery: 'unsent', replaces: 'prompt-1' });
    server.faults.status = undefined;
    await chat.send('why not', { messageId: 'm', replaces: 'prompt-1' });
    await chat.select('run-1');
    await shows(chat, ({ messages, runs }) => runs.length === 2 && messages.length === 2);
    const again = chat.send('why not', { messageId: 'm', replaces: 'prompt-1' });
    expect(texts(chat.snapshot())).toEqual(['user: why', 'assistant: because']);
    await again;
  });
});

describe('a queued prompt', () => {
  it('can be edited and withdrawn', async () => {
    const { server, chat } = await openAnswered();
    await chat.send('and', { messageId: 'p:2' });
    await chat.edit('p:2', 'and then');
    await shows(chat, (snapshot) => texts(snapshot).at(-1) === 'user: and then');
    await chat.withdraw('p:2');
    await shows(chat, ({ runs }) => runs.at(-1)?.state === 'cancelled');
    expect(server.requests.slice(-2).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'PATCH /v1/sessions/c/messages/p%3A2',
      'DELETE /v1/sessions/c/messages/p%3A2',
    ]);
  });

  it('is refused for good once its answer has begun', async () => {
    const { server, chat } = await openAnswered();
    const { messageId, runId } = await chat.send('and');
    server.chat('c').append('run.started', { runId, messageId: 'a2', attempt: 1 });
    await expect(chat.edit(messageId, 'x')).rejects.toMatchObject({ code: 'not-waiting', retryable: false });
    await expect(chat.withdraw(messageId)).rejects.toMatchObject({ code: 'not-waiting' });
  });
});
