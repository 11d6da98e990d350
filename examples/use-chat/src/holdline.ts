// What a page needs beside `useChat`: a transport with its token, the messages of the chat, and Stop.
import { DefaultChatTransport, type UIMessage } from 'ai';

/** A page of your own asks your server for a token here. */
const headers = { authorization: `Bearer ${String(import.meta.env['VITE_HOLDLINE_TOKEN'])}` };

/** Its address is `/api/chat`, which is the address of Holdline too. */
export const transport = new DefaultChatTransport<UIMessage>({
  headers,
  // The log has the earlier messages.
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
    body: { ...body, id, trigger, messageId, messages: messages.slice(-1) },
  }),
});

/** @throws when the token is refused or nothing answers */
export async function loadMessages(chatId: string): Promise<UIMessage[]> {
  const response = await fetch(`/api/chat/${chatId}/messages?limit=50`, { headers });
  // A chat begins with its first prompt.
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as UIMessage[];
}

/** Ends the answer for everybody. `stop()` of `useChat` only closes the connection of this page. */
export async function stopAnswer(chatId: string): Promise<void> {
  await fetch(`/api/chat/${chatId}/stop`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: '{}',
  });
}
