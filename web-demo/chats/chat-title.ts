// The title of the open chat, and the box in which it is changed: Enter and leaving it save, Escape does not.
import { find, setText } from '../dom/element.ts';

export class ChatTitle {
  readonly #title = find('title', HTMLHeadingElement);
  readonly #rename = find('rename', HTMLButtonElement);
  readonly #box = find('title-box', HTMLInputElement);
  readonly #save: (title: string) => void;

  /** @param save the reader wants this title */
  constructor(save: (title: string) => void) {
    this.#save = save;
    this.#rename.addEventListener('click', () => this.#edit());
    this.#box.addEventListener('keydown', (event) => {
      if (event.isComposing || (event.key !== 'Enter' && event.key !== 'Escape')) return;
      event.preventDefault();
      // On the page Escape stops the answer that is being written.
      event.stopPropagation();
      this.#close(event.key === 'Enter');
      this.#rename.focus();
    });
    this.#box.addEventListener('blur', () => this.#close(true));
  }

  /** @param canRename the chat exists */
  show(title: string, canRename: boolean): void {
    setText(this.#title, title);
    document.title = `${title} · Holdline`;
    const isEditing = !this.#box.hidden;
    if (!canRename && isEditing) this.#close(false);
    this.#rename.hidden = !canRename || isEditing;
  }

  #edit(): void {
    this.#box.value = this.#title.textContent;
    this.#toggle(true);
    this.#box.select();
  }

  #close(isSaved: boolean): void {
    if (this.#box.hidden) return;
    const title = this.#box.value.trim();
    this.#toggle(false);
    if (isSaved && title !== '' && title !== this.#title.textContent) this.#save(title);
  }

  #toggle(isEditing: boolean): void {
    this.#title.hidden = isEditing;
    this.#rename.hidden = isEditing;
    this.#box.hidden = !isEditing;
  }
}
