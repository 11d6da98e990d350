// The text box: keys, a height that follows the text, files, the stop button, and suggestions for the demo model.
import type { MessageContent } from '../../src/client/chat-client.ts';
import { AttachedFiles, type FileActions } from './attached-files.ts';
import type { DraftStore } from './draft-store.ts';
import { button, find } from '../dom/element.ts';
import { fitRows, isSendKey } from '../dom/growing-text.ts';

export interface ComposerActions extends Pick<FileActions, 'attach' | 'refuse'> {
  send(content: MessageContent): void;
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
  readonly #chooser = find('file-chooser', HTMLInputElement);
  readonly #files: AttachedFiles;
  readonly #suggestions = find('suggestions', HTMLDivElement);
  #chatId: string | undefined;

  constructor(actions: ComposerActions, drafts: DraftStore) {
    this.#actions = actions;
    this.#drafts = drafts;
    this.#files = new AttachedFiles(find('attached-files', HTMLDivElement), {
      attach: (file) => actions.attach(file),
      refuse: (text) => actions.refuse(text),
      changed: () => this.#fit(),
    });
    const form = find('composer', HTMLFormElement);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#takeFiles(form);
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
    this.#files.clear();
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
    if (!this.#canSend) return;
    this.#prompt.value = '';
    const files = this.#files.take();
    this.#changed();
    const words = text === '' ? [] : [{ type: 'text', text }];
    this.#actions.send(files.length === 0 ? text : [...words, ...files]);
  }

  get #canSend(): boolean {
    return !this.#files.isUploading && (this.#prompt.value.trim() !== '' || !this.#files.isEmpty);
  }

  /** Chosen with the button, pasted into the text, or dropped on the composer. */
  #takeFiles(form: HTMLFormElement): void {
    find('attach', HTMLButtonElement).addEventListener('click', () => this.#chooser.click());
    this.#chooser.addEventListener('change', () => {
      this.#files.add([...(this.#chooser.files ?? [])]);
      // Otherwise the same file could not be chosen again.
      this.#chooser.value = '';
    });
    this.#prompt.addEventListener('paste', (event) => this.#onFiles(event, event.clipboardData));
    form.addEventListener('drop', (event) => this.#onFiles(event, event.dataTransfer));
    form.addEventListener('dragover', (event) => {
      // Otherwise the browser opens the file in place of the page.
      if (event.dataTransfer?.types.includes('Files') === true) event.preventDefault();
    });
  }

  #onFiles(event: Event, given: DataTransfer | null): void {
    const files = [...(given?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.#files.add(files);
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
    this.#send.disabled = !this.#canSend;
  }
}
