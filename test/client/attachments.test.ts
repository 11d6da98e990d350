// Files of a chat with the SDK, against a real gateway.
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { createChatClient, type Chat } from '../../src/client/chat-client.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { shows } from './open-client.ts';

async function open(): Promise<{ chat: Chat; h: Awaited<ReturnType<typeof startHarness>> }> {
  const h = await startHarness();
  const { url } = await h.listen();
  const client = createChatClient({ baseUrl: url, token: h.token('ann'), WebSocket });
  onTestFinished(() => client.close());
  return { h, chat: client.chat('s') };
}

it('attach stores a file under its name, and the message that names it shows what it is', async () => {
  const { chat } = await open();
  const file = await chat.attach(new File(['hello'], "a €'s.txt", { type: 'text/plain' }));
  expect(file).toMatchObject({ type: 'attachment', name: "a €'s.txt", mediaType: 'text/plain', bytes: 5 });
  await chat.send([{ type: 'text', text: 'see' }, file]);
  const { messages } = await shows(chat, (snapshot) => snapshot.messages[0]?.delivery === 'sent');
  expect(messages[0]?.parts).toMatchObject([
    { text: 'see' },
    { kind: 'attachment', content: { name: file.name, bytes: 5 } },
  ]);
  await expect(chat.detach(file.attachmentId)).rejects.toMatchObject({ code: 'attachment-in-use' });
  const other = await chat.attach(new Blob([new Uint8Array(3)]));
  expect(other).toMatchObject({ name: 'attachment', mediaType: 'application/octet-stream' });
  await chat.detach(other.attachmentId);
});

it('send takes a text of 16 MiB, which becomes a file of the chat', async () => {
  const { chat, h } = await open();
  const text = 'x'.repeat(16 * 1024 * 1024);
  const { messageId } = await chat.send(text, { messageId: 'm1' });
  expect(messageId).toBe('m1');
  const page = await h.call('GET', '/v1/sessions/s/messages', 'ann');
  expect(page.body['messages']).toMatchObject([{ content: [{ type: 'attachment', bytes: text.length }] }]);
  // The same message once more is the same message, although its text was stored again.
  await chat.send(text, { messageId: 'm1' });
  expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['messages']).toBe(1);
});

it('attach says which limit a file exceeds', async () => {
  const { chat } = await open();
  const large = new Blob([new Uint8Array(33 * 1024 * 1024)]);
  await expect(chat.attach(large)).rejects.toMatchObject({ code: 'too-large', details: { limit: 33_554_432 } });
});
