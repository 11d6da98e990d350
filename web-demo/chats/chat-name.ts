// What a chat is called on the page: its title, else how its first prompt begins. Pure.
import type { ChatSnapshot, Message } from '../../src/client/chat-client.ts';
import { plainText } from '../conversation/message-status.ts';

/** A chat that nobody has written to yet. */
export const NEW_CHAT = 'New chat';
/** A chat without a title and without a prompt that the server has taken. */
export const UNTITLED = 'Untitled chat';

/** Characters of a first prompt that become the title, an ellipsis not counted. */
export const TITLE_LENGTH_MAX = 60;

/** The first line with text, cut at the end of a word if it is too long. Undefined without text. */
export function titleOf(prompt: string): string | undefined {
  const line = prompt
    .split('\n')
    .map((each) => each.trim())
    .find((each) => each !== '');
  if (line === undefined || line.length <= TITLE_LENGTH_MAX) return line;
  // One character more, so that a word that ends exactly at the limit is kept.
  const words = /^(.*\S)\s/s.exec(line.slice(0, TITLE_LENGTH_MAX + 1))?.[1];
  // A single long word, or text without spaces: not in the middle of a surrogate pair.
  return `${words ?? line.slice(0, TITLE_LENGTH_MAX).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** The first prompt that the server has taken: a refused one is still its writer's to change. */
export function firstPrompt(snapshot: ChatSnapshot | undefined): Message | undefined {
  return snapshot?.messages.find(({ role, delivery }) => role === 'user' && delivery === 'sent');
}

export function titleFromPrompt(snapshot: ChatSnapshot | undefined): string | undefined {
  const first = firstPrompt(snapshot);
  return first === undefined ? undefined : titleOf(plainText(first));
}

/** @param listed its title as the list of chats gives it @param isListed the list has it */
export function nameOf(snapshot: ChatSnapshot | undefined, listed: string | undefined, isListed: boolean): string {
  const title = snapshot?.title ?? listed ?? '';
  if (title !== '') return title;
  return titleFromPrompt(snapshot) ?? (isListed || snapshot?.position !== undefined ? UNTITLED : NEW_CHAT);
}
