// The messages of the open chat, one view each, in order; the scroll position, which follows the end unless the reader has
// scrolled away from it; and the focus, which stays when another branch is shown.
import type { ChatSnapshot, Message } from '../../src/client/chat-client.ts';
import { find } from '../dom/element.ts';
import { openParser } from '../markdown/open-parser.ts';
import { isGone } from '../shell/notice.ts';
import { MessageView } from './message-view.ts';
import type { MessageActions } from './message-view.ts';

/** Pixels from the end within which a reader counts as reading along. */
const NEAR_END_PX = 80;

/** Where the reader's focus is: in which message, and on which end of which switch if it is on one. */
interface Hand {
  readonly index: number;
  readonly way: string | undefined;
  readonly top: number;
}

export class Conversation {
  readonly #actions: MessageActions;
  readonly #messages = find('messages', HTMLDivElement);
  readonly #scroller = find('scroller', HTMLDivElement);
  readonly #welcome = find('welcome', HTMLElement);
  readonly #gone = find('gone', HTMLElement);
  readonly #lost = find('lost', HTMLElement);
  readonly #toEnd = find('to-end', HTMLButtonElement);
  readonly #parser = openParser();
  readonly #views = new Map<string, MessageView>();
  #follows = true;
  /** Where it was scrolled to. */
  #top = 0;

  constructor(actions: MessageActions) {
    this.#actions = actions;
    this.#scroller.addEventListener('scroll', () => this.#noteScroll(), { passive: true });
    this.#toEnd.addEventListener('click', () => this.scrollToEnd());
    // The keyboard of a phone, a rotation or a growing text box takes room: stay at the end through it.
    // So does an answer, which is parsed elsewhere and grows when that is done.
    const resized = new ResizeObserver(() => this.#follow());
    resized.observe(this.#scroller);
    resized.observe(this.#messages);
  }

  /** @param snapshot undefined: a chat that does not exist yet */
  show(snapshot: ChatSnapshot | undefined): void {
    const messages = snapshot?.messages ?? [];
    const runs = new Map(snapshot?.runs.map((run) => [run.runId, run]));
    const wanted = new Set(messages.map(keyOf));
    const hand = this.#findHand();
    for (const [key, view] of this.#views) {
      if (wanted.has(key)) continue;
      view.element.remove();
      this.#views.delete(key);
    }
    messages.forEach((message, index) => {
      const view = this.#views.get(keyOf(message)) ?? new MessageView(message, this.#actions, this.#parser);
      this.#views.set(keyOf(message), view);
      view.update(message, message.runId === undefined ? undefined : runs.get(message.runId));
      const there = this.#messages.children[index] ?? null;
      if (there !== view.element) this.#messages.insertBefore(view.element, there);
    });
    if (hand !== undefined && document.activeElement === document.body) this.#giveBack(hand);
    const { connection } = snapshot ?? {};
    this.#messages.toggleAttribute('data-gone', isGone(connection));
    const isReading = connection?.state === 'connecting' || connection?.state === 'catching-up';
    this.#gone.hidden = !(connection?.state === 'closed' && connection.reason === 'not-found');
    this.#lost.hidden = snapshot?.lost === undefined;
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

  #findHand(): Hand | undefined {
    const focused = document.activeElement;
    const message = focused?.closest('.message');
    if (!(focused instanceof HTMLElement) || message === null || message === undefined) return undefined;
    const index = [...this.#messages.children].indexOf(message);
    return index < 0 ? undefined : { index, way: focused.dataset['way'], top: focused.getBoundingClientRect().top };
  }

  /** Its message has gone: to the same button of the one in its place, so that a switch can be pressed again, and still
   *  lies where it lay. */
  #giveBack({ index, way, top }: Hand): void {
    const message = this.#messages.children[Math.min(index, this.#messages.children.length - 1)];
    const same =
      way === undefined ? undefined : message?.querySelector<HTMLElement>(`.fork:not([hidden]) [data-way=${way}]`);
    const next = same ?? message?.querySelector<HTMLElement>('.status:not([hidden]) button');
    next?.focus({ preventScroll: true });
    if (same === undefined || same === null) return;
    this.#follows = false;
    this.#scroller.scrollTop += same.getBoundingClientRect().top - top;
  }

  #noteScroll(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    // A growing answer moves its end away from the reader. Only a reader that scrolls up stops following.
    if (isNearEnd) this.#follows = true;
    else if (scrollTop < this.#top) this.#follows = false;
    this.#top = scrollTop;
    this.#toEnd.hidden = this.#follows;
  }

  #follow(): void {
    // Holding what is in sight in its place would be a move up.
    this.#scroller.classList.toggle('follows', this.#follows);
    if (this.#follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

/** A given message may have the id of a prompt. */
function keyOf({ messageId, isGiven }: Message): string {
  return isGiven === true ? `given ${messageId}` : messageId;
}
