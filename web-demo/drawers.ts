// The two side panels, which are columns where there is room and drawers where there is not. Owns what a drawer
// owes a keyboard: focus moves in, Escape closes, focus returns, and what lies beneath cannot be reached.
import { find } from './element.ts';

export class Drawers {
  readonly #scrim = find('scrim', HTMLDivElement);
  readonly #chat = document.querySelector('main');
  #open: { readonly drawer: HTMLElement; readonly opener: HTMLElement } | undefined;

  constructor() {
    for (const opener of document.querySelectorAll<HTMLElement>('[data-open]')) {
      opener.addEventListener('click', () => this.#show(find(opener.dataset['open'] ?? '', HTMLElement), opener));
    }
    for (const closer of document.querySelectorAll<HTMLElement>('[data-close]')) {
      closer.addEventListener('click', () => this.close());
    }
    this.#scrim.addEventListener('click', () => this.close());
    // Grown wide enough, the drawer is a column again and hides nothing.
    for (const width of ['(min-width: 47.5rem)', '(min-width: 72rem)']) {
      matchMedia(width).addEventListener('change', () => this.close());
    }
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  close(): void {
    if (this.#open === undefined) return;
    const { drawer, opener } = this.#open;
    this.#open = undefined;
    drawer.classList.remove('is-open');
    opener.ariaExpanded = 'false';
    this.#scrim.hidden = true;
    this.#setInert(false);
    opener.focus();
  }

  #show(drawer: HTMLElement, opener: HTMLElement): void {
    this.close();
    this.#open = { drawer, opener };
    drawer.classList.add('is-open');
    opener.ariaExpanded = 'true';
    this.#scrim.hidden = false;
    this.#setInert(true);
    drawer.querySelector<HTMLElement>('[data-close]')?.focus();
  }

  #setInert(isInert: boolean): void {
    if (this.#chat !== null) this.#chat.inert = isInert;
  }
}
