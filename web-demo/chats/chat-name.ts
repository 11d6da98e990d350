// What a chat is called on the page: its title, else how its first prompt begins. Pure.
import type { ChatSnapshot, Message } from '../../src/client/chat-client.ts';
import { shortTitle } from '../../src/base/short-title.ts';
import { plainText } from '../conversation/message-status.ts';

/** A chat that nobody has written to yet. */
export const NEW_CHAT = 'New chat';
/** A chat without a title and without a prompt that the server has taken. */
export const UNTITLED = 'Untitled chat';

/** The first prompt that the server has taken: a refused one is still its writer's to change. */
function firstPrompt(snapshot: ChatSnapshot | undefined): Message | undefined {
  return snapshot?.messages.find(({ role, delivery }) => role === 'user' && delivery === 'sent');
}

function titleFromPrompt(snapshot: ChatSnapshot | undefined): string | undefined {
  const first = firstPrompt(snapshot);
  return first === undefined ? undefined : shortTitle(plainText(first));
}

/** @param listed its title as the list of chats gives it @param isListed the list has it */
export function nameOf(snapshot: ChatSnapshot | undefined, listed: string | undefined, isListed: boolean): string {
  const title = snapshot?.title ?? listed ?? '';
  if (title !== '') return title;
  return titleFromPrompt(snapshot) ?? (isListed || snapshot?.position !== undefined ? UNTITLED : NEW_CHAT);
}
