// The list of chats: links, so that one opens in a new tab like any other, each with a button that removes it after asking once; and a
// button for more. Elements are kept while their chats are: the focus and an open question stay where they are.
import type { SessionSummary } from '../../src/client/chat-client.ts';
import { chatFragment } from '../access/address.ts';
import { UNTITLED } from './chat-name.ts';
import { button, element, find, setText } from '../dom/element.ts';

/** How long "Delete?" waits for its second click. */
const SURE_MS = 3_000;

export interface ChatListActions {
  remove(chatId: string): void;
  readMore(): void;
}

interface Item {
  readonly element: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly busy: HTMLElement;
  readonly remove: HTMLButtonElement;
}

export class ChatList {
  readonly #list = find('chats', HTMLUListElement);
  readonly #note = find('chats-note', HTMLElement);
  readonly #more = find('more-chats', HTMLButtonElement);
  readonly #newChat = find('new-chat', HTMLButtonElement);
  readonly #actions: ChatListActions;
  readonly #items = new Map<string, Item>();

  constructor(actions: ChatListActions) {
    this.#actions = actions;
    this.#more.addEventListener('click', () => actions.readMore());
  }

  /** @param current the open chat @param more whether there are chats that were not read */
  show(sessions: readonly SessionSummary[], current: string | undefined, more: boolean): void {
    const focused = document.activeElement;
    const focusedIndex = [...this.#list.children].findIndex((item) => item.contains(focused));
    const wanted = new Set(sessions.map(({ sessionId }) => sessionId));
    for (const [chatId, item] of this.#items) {
      if (wanted.has(chatId)) continue;
      item.element.remove();
      this.#items.delete(chatId);
    }
    sessions.forEach((session, index) => {
      const item = this.#items.get(session.sessionId) ?? this.#make(session.sessionId);
      this.#items.set(session.sessionId, item);
      update(item, session, session.sessionId === current);
      const there = this.#list.children[index] ?? null;
      if (there !== item.element) this.#list.insertBefore(item.element, there);
    });
    this.#restoreFocus(focused, focusedIndex);
    this.#showMore(more);
    this.#say(sessions.length === 0 ? 'Chats you start are listed here.' : '');
  }

  fail(reason: string): void {
    this.#say(`The list could not be read: ${reason}`);
  }

  /** A moved element loses the focus, so this restores it; if the element was removed, the chat at its index gets the focus. */
  #restoreFocus(focused: Element | null, index: number): void {
    if (index < 0 || document.activeElement === focused) return;
    if (focused instanceof HTMLElement && focused.isConnected) {
      focused.focus({ preventScroll: true });
      return;
    }
    const item = this.#list.children[Math.min(index, this.#list.childElementCount - 1)];
    (item?.querySelector('a') ?? this.#newChat).focus();
  }

  #showMore(more: boolean): void {
    const hadFocus = document.activeElement === this.#more;
    this.#more.hidden = !more;
    if (hadFocus && !more) this.#list.querySelector<HTMLElement>('li:last-child a')?.focus();
  }

  #say(sentence: string): void {
    this.#note.hidden = sentence === '';
    setText(this.#note, sentence);
  }

  #make(chatId: string): Item {
    const link = element('a', { href: chatFragment(chatId) });
    const busy = element('span', {
      class: 'busy',
      'data-testid': 'busy',
      role: 'img',
      'aria-label': 'An answer is being written',
    });
    const remove = this.#removeButton(chatId);
    return { element: element('li', { 'data-chat': chatId }, link, busy, remove), link, busy, remove };
  }

  #removeButton(chatId: string): HTMLButtonElement {
    let isSure = false;
    const remove = button(
      '✕',
      () => {
        if (isSure) {
          this.#actions.remove(chatId);
          return;
        }
        isSure = true;
        remove.textContent = 'Delete?';
        remove.dataset['sure'] = '';
        setTimeout(() => {
          isSure = false;
          remove.textContent = '✕';
          delete remove.dataset['sure'];
          label(remove);
        }, SURE_MS);
        label(remove);
      },
      { class: 'quiet small remove' },
    );
    return remove;
  }
}

function update(
  { link, busy, remove }: Item,
  { title, isActive, isWaiting }: SessionSummary,
  isCurrent: boolean,
): void {
  const name = title === undefined || title === '' ? UNTITLED : title;
  setText(link, name);
  link.title = name;
  link.ariaCurrent = isCurrent ? 'page' : null;
  busy.hidden = !isActive;
  busy.classList.toggle('asks', isWaiting);
  busy.ariaLabel = isWaiting ? 'It waits for your answer' : 'An answer is being written';
  remove.dataset['name'] = name;
  label(remove);
}

/** Screen readers read the label instead of the text, so the label carries the question as well. */
function label(remove: HTMLButtonElement): void {
  const chat = `the chat “${remove.dataset['name'] ?? ''}”`;
  const wanted = remove.dataset['sure'] === undefined ? `Delete ${chat}` : `Delete? Press again to delete ${chat}`;
  if (remove.ariaLabel !== wanted) remove.ariaLabel = wanted;
}
