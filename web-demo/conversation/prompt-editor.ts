// The box that edits a prompt inside the conversation. Its keys are those of the text box for new prompts.
import { button, element } from '../dom/element.ts';
import { fitRows, isSendKey } from '../dom/growing-text.ts';

export interface EditorActions {
  save(text: string): void;
  cancel(): void;
}

export class PromptEditor {
  readonly element: HTMLFormElement;
  readonly #box = element('textarea', {
    rows: '1',
    'aria-label': 'Change this message',
    'data-testid': 'editor',
    autocomplete: 'off',
  });
  readonly #actions: EditorActions;

  /** @param verb label of the button: "Send" */
  constructor(text: string, verb: string, actions: EditorActions) {
    this.#actions = actions;
    this.#box.value = text;
    const save = element('button', { type: 'submit', class: 'primary small', 'data-testid': 'save' }, verb);
    const cancel = button('Cancel', () => actions.cancel(), { class: 'quiet small' });
    this.element = element(
      'form',
      { class: 'editor' },
      this.#box,
      element('div', { class: 'editor-foot' }, cancel, save),
    );
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#box.addEventListener('input', () => fitRows(this.#box));
    this.#box.addEventListener('keydown', (event) => {
      if (!isSendKey(event)) return;
      event.preventDefault();
      this.#submit();
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || event.isComposing) return;
      // On the page this key stops the answer that is being written.
      event.stopPropagation();
      actions.cancel();
    });
  }

  /** Once it is on the page. */
  open(): void {
    fitRows(this.#box);
    this.#box.focus();
  }

  #submit(): void {
    const text = this.#box.value.trim();
    if (text !== '') this.#actions.save(text);
  }
}
