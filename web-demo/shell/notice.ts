// The line above the text box: why the last command failed, and why the chat has ended. It is there because a reader that has just
// pressed a button looks there.
import type { ConnectionState } from '../../src/client/chat-client.ts';
import { find, setText } from '../dom/element.ts';

export class Notice {
  readonly #fault = find('fault', HTMLElement);
  readonly #text = find('fault-text', HTMLElement);
  readonly #state = find('chat-state', HTMLElement);

  /** @param dismissed where the focus goes when the notice goes under it */
  constructor(dismissed: () => void) {
    find('fault-close', HTMLButtonElement).addEventListener('click', () => {
      this.clear();
      dismissed();
    });
  }

  fail(sentence: string): void {
    this.#fault.hidden = false;
    // Replaced even if the text is the same, so that a screen reader reads it again.
    this.#text.replaceChildren(sentence);
  }

  clear(): void {
    this.#fault.hidden = true;
    this.#text.replaceChildren();
  }

  showState(connection: ConnectionState | undefined): void {
    const sentence = endingOf(connection);
    this.#state.hidden = sentence === undefined;
    setText(this.#state, sentence ?? '');
  }
}

/** Why no more events come, as a sentence; undefined while the chat is open. */
export function endingOf(connection: ConnectionState | undefined): string | undefined {
  if (connection?.state !== 'closed') return undefined;
  switch (connection.reason) {
    case 'removed':
      return 'This chat was deleted, in another tab or on another device. A message starts a new one.';
    case 'expired':
      return 'This chat has expired and is no longer kept. A message starts a new one.';
    case 'forbidden':
      return 'The token of this page does not open this chat.';
    case 'refused':
      return `The server does not show this chat: ${connection.detail}`;
    // A missing chat has its own text, the token box asks for a token, and `closed` is the user's own act.
    case 'not-found':
    case 'unauthorized':
    case 'closed':
      return undefined;
  }
}

/** Is it gone for good, so that a message needs another chat? */
export function isGone(connection: ConnectionState | undefined): boolean {
  return connection?.state === 'closed' && (connection.reason === 'removed' || connection.reason === 'expired');
}
