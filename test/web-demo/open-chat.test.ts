// The open chat and its files: what happens to an upload when the chat is left meanwhile.
import { describe, expect, it } from 'vitest';
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { AttachedFile, Chat, ChatClient } from '../../src/client/chat-client.ts';
import { OpenChat } from '../../web-demo/chats/open-chat.ts';
import { UnsentStore } from '../../web-demo/chats/unsent-store.ts';

const stored = { attachmentId: 'f1' } as unknown as AttachedFile;

function settled<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onDone, onFailed) => {
    [resolve, reject] = [onDone, onFailed];
  });
  return { promise, resolve, reject };
}

/** A new chat, with a server that answers when the test says so. */
function system() {
  const created = settled<undefined>();
  const uploaded = settled<AttachedFile>();
  const did: string[] = [];
  const client = {
    create: () => created.promise,
    chat: (chatId: string) => {
      did.push(`chat ${chatId}`);
      return {
        snapshot: () => ({ connection: { state: 'live' }, messages: [], runs: [] }),
        subscribe: () => () => undefined,
        attach: () => uploaded.promise,
        detach: async (id: string) => void did.push(`detach ${id}`),
        close: () => void did.push('close'),
      } as unknown as Chat;
    },
  } as unknown as ChatClient;
  const unsent = new UnsentStore({ getItem: () => null, setItem: () => undefined });
  const nothing = (): void => undefined;
  const chat = new OpenChat('c', true, { client, unsent, onChange: nothing, onSent: nothing });
  return { chat, created, uploaded, did, attached: chat.attach(new File(['x'], 'x.txt')) };
}

describe('a file of an open chat', () => {
  it('is uploaded, and is removed from that chat', async () => {
    const { chat, created, uploaded, did, attached } = system();
    created.resolve(undefined);
    uploaded.resolve(stored);
    expect(await attached).toBe(stored);
    await chat.detach('f1');
    expect(did).toEqual(['chat c', 'detach f1']);
  });

  it('is removed when the chat was left during its upload, and the chat is closed after that', async () => {
    const { chat, created, uploaded, did, attached } = system();
    created.resolve(undefined);
    await created.promise;
    await Promise.resolve();
    chat.leave();
    uploaded.resolve(stored);
    expect(await attached).toBeUndefined();
    expect(did).toEqual(['chat c', 'detach f1', 'close']);
  });

  it('reports an error of its upload only while the chat is open', async () => {
    const open = system();
    open.created.reject(new ChatClientError('network', 'no answer'));
    await expect(open.attached).rejects.toThrow('no answer');
    const left = system();
    left.chat.leave();
    left.created.reject(new ChatClientError('network', 'no answer'));
    expect(await left.attached).toBeUndefined();
  });

  it('connects to no chat when that was left while it was being made', async () => {
    const { chat, created, did, attached } = system();
    chat.leave();
    created.resolve(undefined);
    expect(await attached).toBeUndefined();
    expect(did).toEqual([]);
  });
});

describe('an answer to what a chat asks', () => {
  it('still arrives when the chat is left while it is on its way', async () => {
    const answered = settled<undefined>();
    const did: string[] = [];
    const client = {
      chat: () => ({
        snapshot: () => ({ connection: { state: 'live' }, messages: [], runs: [] }),
        subscribe: () => () => undefined,
        answer: () => answered.promise,
        close: () => void did.push('close'),
      }),
    } as unknown as ChatClient;
    const unsent = new UnsentStore({ getItem: () => null, setItem: () => undefined });
    const nothing = (): void => undefined;
    const chat = new OpenChat('c', false, { client, unsent, onChange: nothing, onSent: nothing });
    const answer = chat.answer('i', { approved: true });
    chat.leave();
    expect(did).toEqual([]);
    answered.resolve(undefined);
    await answer;
    expect(did).toEqual(['close']);
  });
});
