// The text box: keys, a height that follows the text, the stop button, and suggestions for the demo model.
import type { DraftStore } from './draft-store.ts';
import { button, find } from '../dom/element.ts';
import { fitRows, isSendKey } from '../dom/growing-text.ts';

export interface ComposerActions {
  send(text: string): void;
  stop(): void;
}

/** Prompts that the built-in demo model understands, and one that shows Markdown. */
const SUGGESTIONS = ['count 300 at 30/s', 'Write a short markdown tour', 'count 3000 at 400/s', 'fail after 20'];

export class Composer {
  readonly #actions: ComposerActions;
  readonly #drafts: DraftStore;
  readonly #prompt = find('prompt', HTMLTextAreaElement);
  readonly #send = find('send', HTMLButtonElement);
  readonly #stop = find('stop', HTMLButtonElement);
  readonly #suggestions = find('suggestions', HTMLDivElement);
  #chatId: string | undefined;

  constructor(actions: ComposerActions, drafts: DraftStore) {
    this.#actions = actions;
    this.#drafts = drafts;
    find('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('input', () => this.#changed());
    this.#prompt.addEventListener('keydown', (event) => this.#onKey(event));
    this.#stop.addEventListener('click', () => this.#actions.stop());
    this.#suggestions.append(...SUGGESTIONS.map((text) => button(text, () => this.#suggest(text), { class: 'chip' })));
    this.#fit();
  }

  /** Only for the demo model: another model does not understand them. */
  showSuggestions(isDemo: boolean): void {
    this.#suggestions.hidden = !isDemo;
  }

  /** Loads the draft of this chat. @param chatId undefined: a new chat */
  open(chatId: string | undefined): void {
    this.#chatId = chatId;
    this.#prompt.value = this.#drafts.of(chatId);
    this.#fit();
  }

  /** @param isBusy an answer is being written or waits for its turn */
  show(isBusy: boolean): void {
    // Focus must not fall off the page with the button that had it.
    if (!isBusy && document.activeElement === this.#stop) this.focus();
    this.#stop.hidden = !isBusy;
  }

  /** Not on touch devices, where the on-screen keyboard would cover the conversation. */
  focusIfHandy(): void {
    if (matchMedia('(hover: hover) and (pointer: fine)').matches) this.focus();
  }

  focus(): void {
    this.#prompt.focus();
  }

  #submit(): void {
    const text = this.#prompt.value.trim();
    if (text === '') return;
    this.#prompt.value = '';
    this.#changed();
    this.#actions.send(text);
  }

  #suggest(text: string): void {
    this.#actions.send(text);
    this.focusIfHandy();
  }

  #onKey(event: KeyboardEvent): void {
    if (!isSendKey(event)) return;
    event.preventDefault();
    this.#submit();
  }

  #changed(): void {
    this.#drafts.save(this.#chatId, this.#prompt.value);
    this.#fit();
  }

  #fit(): void {
    fitRows(this.#prompt);
    this.#send.disabled = this.#prompt.value.trim() === '';
  }
}
