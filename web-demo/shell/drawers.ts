// The two side panels: columns on a wide screen, drawers on a narrow one. Owns the keyboard rules of a drawer: focus moves in, Escape
// closes it, focus returns, and the page under it is inert. The right panel can be closed as a column too.
import { find } from '../dom/element.ts';
import type { Settings } from './settings.ts';

export class Drawers {
  readonly #settings: Settings;
  readonly #page = find('page', HTMLDivElement);
  readonly #scrim = find('scrim', HTMLDivElement);
  readonly #chat = document.querySelector('main');
  readonly #survival = find('survival-drawer', HTMLElement);
  readonly #isWide = matchMedia('(min-width: 72rem)');
  #open: { readonly drawer: HTMLElement; readonly opener: HTMLElement } | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    for (const opener of document.querySelectorAll<HTMLElement>('[data-open]')) {
      opener.addEventListener('click', () => this.#show(find(opener.dataset['open'] ?? '', HTMLElement), opener));
    }
    for (const closer of document.querySelectorAll<HTMLElement>('[data-close]')) {
      closer.addEventListener('click', () => this.#hide(closer.dataset['close'] ?? ''));
    }
    this.#scrim.addEventListener('click', () => this.close());
    // Grown wide enough, the drawer is a column again and hides nothing.
    for (const width of [matchMedia('(min-width: 47.5rem)'), this.#isWide])
      width.addEventListener('change', () => this.close());
    this.#showColumn();
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

  #hide(id: string): void {
    if (this.isOpen || id !== this.#survival.id || !this.#isWide.matches) {
      this.close();
      return;
    }
    this.#settings.hasInstruments = false;
    this.#showColumn();
    document.querySelector<HTMLElement>(`[data-open="${id}"]`)?.focus();
  }

  #show(drawer: HTMLElement, opener: HTMLElement): void {
    this.close();
    if (drawer === this.#survival && this.#isWide.matches) {
      this.#settings.hasInstruments = true;
      this.#showColumn();
    } else {
      this.#open = { drawer, opener };
      drawer.classList.add('is-open');
      opener.ariaExpanded = 'true';
      this.#scrim.hidden = false;
      this.#setInert(true);
    }
    drawer.querySelector<HTMLElement>('[data-close]')?.focus();
  }

  #showColumn(): void {
    this.#page.classList.toggle('no-instruments', !this.#settings.hasInstruments);
  }

  #setInert(isInert: boolean): void {
    if (this.#chat !== null) this.#chat.inert = isInert;
  }
}
