// The messages of the open chat, one view each, in order, and the scroll position that follows what is written
// unless the reader has scrolled away from it.
import type { ChatSnapshot } from '../src/client/chat-client.ts';
import { find } from './element.ts';
import { MessageView } from './message-view.ts';
import type { MessageActions } from './message-view.ts';

/** Pixels from the end within which a reader counts as reading along. */
const NEAR_END_PX = 80;

export class Conversation {
  readonly #actions: MessageActions;
  readonly #messages = find('messages', HTMLDivElement);
  readonly #scroller = find('scroller', HTMLDivElement);
  readonly #welcome = find('welcome', HTMLElement);
  readonly #gone = find('gone', HTMLElement);
  readonly #toEnd = find('to-end', HTMLButtonElement);
  readonly #views = new Map<string, MessageView>();
  #follows = true;

  constructor(actions: MessageActions) {
    this.#actions = actions;
    this.#scroller.addEventListener('scroll', () => this.#noteScroll(), { passive: true });
    this.#toEnd.addEventListener('click', () => this.scrollToEnd());
    // The keyboard of a phone, a rotation or a growing text box takes room: stay at the end through it.
    new ResizeObserver(() => this.#follow()).observe(this.#scroller);
  }

  /** @param snapshot undefined: a chat that does not exist yet */
  show(snapshot: ChatSnapshot | undefined): void {
    const messages = snapshot?.messages ?? [];
    const runs = new Map(snapshot?.runs.map((run) => [run.runId, run]));
    const wanted = new Set(messages.map((message) => message.messageId));
    for (const [messageId, view] of this.#views) {
      if (wanted.has(messageId)) continue;
      view.element.remove();
      this.#views.delete(messageId);
    }
    messages.forEach((message, index) => {
      const view = this.#views.get(message.messageId) ?? new MessageView(message, this.#actions);
      this.#views.set(message.messageId, view);
      view.update(message, message.runId === undefined ? undefined : runs.get(message.runId));
      const there = this.#messages.children[index] ?? null;
      if (there !== view.element) this.#messages.insertBefore(view.element, there);
    });
    const { connection } = snapshot ?? {};
    const isReading = connection?.state === 'connecting' || connection?.state === 'catching-up';
    this.#gone.hidden = !(connection?.state === 'closed' && connection.reason === 'not-found');
    this.#welcome.hidden = messages.length > 0 || isReading;
    this.#follow();
  }

  /** Another chat: nothing of this one is kept. */
  clear(): void {
    this.#views.clear();
    this.#messages.replaceChildren();
    this.#follows = true;
    this.#toEnd.hidden = true;
  }

  scrollToEnd(): void {
    this.#follows = true;
    this.#follow();
  }

  #noteScroll(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#toEnd.hidden = this.#follows;
  }

  #follow(): void {
    if (this.#follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
