// The line above the text box: what went wrong with the last thing that was asked for, and why the chat has ended. There, because that
// is where its reader looks who has just pressed a button.
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
    // Said aloud although it may be what stood there before.
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

/** Why nothing more comes, in a sentence; undefined while the chat goes on. */
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
    // There is a text of its own for a chat that is not there; the token box asks for a token; and who closed it here knows.
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
