// One message on the page, updated in place: its parts keep their elements, its status line says how it stands
// and offers what can be done about it.
import type { Message, Run } from '../src/client/chat-client.ts';
import { button, element } from './element.ts';
import { copyText } from './markdown-view.ts';
import { plainText, sentenceOf, statusOf } from './message-status.ts';
import { partView } from './part-view.ts';
import type { PartView } from './part-view.ts';

export interface MessageActions {
  /** Sends an unsent message once more, under its id. */
  resend(message: Message): void;
  discard(message: Message): void;
  withdraw(run: Run): void;
  /** A new message with the text of the one that this answer failed on. */
  askAgain(run: Run): void;
}

export class MessageView {
  readonly element: HTMLElement;
  readonly #actions: MessageActions;
  readonly #body = element('div', { class: 'body' });
  readonly #status = element('div', { class: 'status' });
  readonly #parts = new Map<string, PartView>();
  #message: Message | undefined;
  #run: Run | undefined;

  constructor(message: Message, actions: MessageActions) {
    this.#actions = actions;
    const label = message.role === 'assistant' ? 'Answer' : 'You';
    this.element = element(
      'article',
      { class: 'message', 'data-testid': 'message', 'data-role': message.role, 'aria-label': label },
      this.#body,
      this.#status,
    );
  }

  update(message: Message, run: Run | undefined): void {
    if (message === this.#message && run === this.#run) return;
    const status = statusOf(message, run);
    this.element.dataset['messageId'] = message.messageId;
    this.element.dataset['status'] = status;
    this.element.dataset['length'] = String(plainText(message).length);
    // Spoken once it is finished, not word by word.
    this.element.ariaBusy = String(status === 'running');
    if (message.parts !== this.#message?.parts) this.#showParts(message);
    this.#showStatus(message, run);
    this.#message = message;
    this.#run = run;
  }

  #showParts(message: Message): void {
    const wanted = new Set<string>();
    for (const part of message.parts) {
      // A part may be cut away and come back as another kind: that is another view.
      const key = `${part.part} ${part.kind}`;
      wanted.add(key);
      const view = this.#parts.get(key) ?? partView(part, message.role);
      this.#parts.set(key, view);
      view.update(part);
      this.#body.append(...(view.element.isConnected ? [] : [view.element]));
    }
    for (const [key, view] of this.#parts) {
      if (wanted.has(key)) continue;
      view.element.remove();
      this.#parts.delete(key);
    }
  }

  #showStatus(message: Message, run: Run | undefined): void {
    const sentence = sentenceOf(message, run);
    const actions = this.#actionsFor(message, run);
    const line = [...(sentence === undefined ? [] : [element('span', {}, sentence)]), ...actions];
    this.#status.hidden = line.length === 0;
    this.#status.replaceChildren(...line);
  }

  #actionsFor(message: Message, run: Run | undefined): HTMLButtonElement[] {
    const small = { class: 'small quiet' };
    switch (statusOf(message, run)) {
      case 'unsent':
        return [
          button('Send again', () => this.#actions.resend(message), small),
          button('Discard', () => this.#actions.discard(message), small),
        ];
      case 'queued':
        return run === undefined ? [] : [button('Withdraw', () => this.#actions.withdraw(run), small)];
      case 'failed':
        return run === undefined ? [] : [button('Ask again', () => this.#actions.askAgain(run), small)];
      case 'completed': {
        const copy = button('Copy', () => void copyText(copy, plainText(message)), { class: 'small quiet reveal' });
        return [copy];
      }
      default:
        return [];
    }
  }
}
