// The list of chats: links, so that one opens in a new tab like any other, each with a button that removes it
// after asking once.
import type { SessionSummary } from '../src/client/chat-client.ts';
import { chatFragment } from './address.ts';
import { button, element, find, setText } from './element.ts';

/** How long "Delete?" waits for its second click. */
const SURE_MS = 3_000;

export class ChatList {
  readonly #list = find('chats', HTMLUListElement);
  readonly #note = find('chats-note', HTMLElement);
  readonly #remove: (chatId: string) => void;
  #shown = '';

  constructor(remove: (chatId: string) => void) {
    this.#remove = remove;
  }

  show(sessions: readonly SessionSummary[], current: string | undefined): void {
    // Drawn anew only when it differs: it would take the focus, and the open question, with it.
    const wanted = JSON.stringify([sessions.map(({ sessionId, title, isActive }) => [sessionId, title, isActive]), current]);
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    this.#list.replaceChildren(...sessions.map((session) => this.#item(session, session.sessionId === current)));
    this.#say(sessions.length === 0 ? 'Chats you start are listed here.' : '');
  }

  fail(reason: string): void {
    this.#say(`The list could not be read: ${reason}`);
  }

  #say(sentence: string): void {
    this.#note.hidden = sentence === '';
    setText(this.#note, sentence);
  }

  #item({ sessionId, title, isActive }: SessionSummary, isCurrent: boolean): HTMLLIElement {
    const name = title === undefined || title === '' ? 'Untitled chat' : title;
    const link = element('a', { href: chatFragment(sessionId), ...(isCurrent ? { 'aria-current': 'page' } : {}) }, name);
    const busy = isActive ? element('span', { class: 'busy', title: 'An answer is being written' }) : undefined;
    return element('li', { 'data-chat': sessionId }, link, busy, this.#removeButton(sessionId, name));
  }

  #removeButton(sessionId: string, name: string): HTMLButtonElement {
    let isSure = false;
    const remove = button('✕', () => {
      if (isSure) {
        this.#remove(sessionId);
        return;
      }
      isSure = true;
      remove.textContent = 'Delete?';
      setTimeout(() => {
        isSure = false;
        remove.textContent = '✕';
      }, SURE_MS);
    }, { class: 'quiet small remove', 'aria-label': `Delete the chat “${name}”` });
    return remove;
  }
}
