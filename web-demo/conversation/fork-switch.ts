// "‹ 2/3 ›" at a message that has alternatives.
import type { Alternatives } from '../../src/client/chat-client.ts';
import { button, element, setText } from '../dom/element.ts';

type Way = 'previous' | 'next';

export class ForkSwitch {
  readonly element = element('span', { class: 'fork', role: 'group', 'data-testid': 'fork' });
  readonly #noun: string;
  readonly #select: (runId: string) => void;
  readonly #place = element('span', { 'aria-hidden': 'true' });
  readonly #buttons: Readonly<Record<Way, HTMLButtonElement>>;
  #fork: Alternatives | undefined;

  /** @param noun what the alternatives are: "Answer" */
  constructor(noun: string, select: (runId: string) => void) {
    this.#noun = noun;
    this.#select = select;
    this.#buttons = { previous: this.#button('previous', '‹'), next: this.#button('next', '›') };
    this.element.append(this.#buttons.previous, this.#place, this.#buttons.next);
    this.show(undefined);
  }

  show(fork: Alternatives | undefined): void {
    this.#fork = fork;
    this.element.hidden = fork === undefined;
    if (fork === undefined) return;
    setText(this.#place, `${fork.place}/${fork.count}`);
    this.element.ariaLabel = `${this.#noun} ${fork.place} of ${fork.count}`;
    // Not `disabled`: a button that is loses the focus, and whoever came to the last one by keys would start from the top.
    for (const way of ['previous', 'next'] as const) this.#buttons[way].ariaDisabled = String(fork[way] === undefined);
  }

  #button(way: Way, sign: string): HTMLButtonElement {
    const label = `${way === 'previous' ? 'Previous' : 'Next'} ${this.#noun.toLowerCase()}`;
    return button(sign, () => this.#go(way), { class: 'small quiet', 'aria-label': label, 'data-way': way });
  }

  #go(way: Way): void {
    const runId = this.#fork?.[way];
    if (runId !== undefined) this.#select(runId);
  }
}
