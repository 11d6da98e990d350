// Saves a file of the chat on the user's device. A link cannot do it: the server wants the token in a header.
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { AttachedFile, Fetch } from '../../src/client/chat-client.ts';
import { errorOf, readAnswer } from '../../src/client/http/http-answer.ts';

/** @throws ChatClientError */
export async function saveFile(fetchOnce: Fetch, token: string, chatId: string, file: AttachedFile): Promise<void> {
  const path = `/v1/sessions/${encodeURIComponent(chatId)}/attachments/${encodeURIComponent(file.attachmentId)}`;
  const url = URL.createObjectURL(await read(fetchOnce, path, token));
  const link = document.createElement('a');
  link.href = url;
  link.download = file.name;
  link.click();
  URL.revokeObjectURL(url);
}

async function read(fetchOnce: Fetch, path: string, token: string): Promise<Blob> {
  try {
    const response = await fetchOnce(path, { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw errorOf(await readAnswer(response), Date.now());
    return await response.blob();
  } catch (error) {
    // What `fetch` throws without an answer.
    if (error instanceof TypeError) throw new ChatClientError('network', 'the server cannot be reached');
    throw error;
  }
}
