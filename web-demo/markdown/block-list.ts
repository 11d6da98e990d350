// The blocks of one text on the page, in order. A block with unchanged source keeps its element, so that a selection, or a screen
// reader in it, is not disturbed while the end is written. Code and plain text grow in their element.
import { copyText } from '../dom/copy-button.ts';
import { button, element } from '../dom/element.ts';
import { PlainText } from '../conversation/plain-text.ts';
import { safeFragment } from './safe-html.ts';

export type Block =
  | { readonly kind: 'html'; readonly raw: string; readonly html: string }
  | { readonly kind: 'code' | 'plain'; readonly source: string };

interface ShownBlock {
  readonly key: string;
  readonly element: HTMLElement;
  /** Of code and plain text. */
  readonly text?: PlainText;
}

export class BlockList {
  readonly #holder: HTMLElement;
  readonly #shown: ShownBlock[] = [];

  constructor(holder: HTMLElement) {
    this.#holder = holder;
  }

  /** Shows `block` at that index; removes the earlier blocks from there on, unless the block is the same. */
  put(index: number, block: Block): void {
    const key = block.kind === 'html' ? `html ${block.raw}` : block.kind;
    let shown = this.#shown[index];
    if (shown?.key !== key) {
      this.cut(index);
      shown = make(key, block);
      this.#shown.push(shown);
      this.#holder.append(shown.element);
    }
    if (block.kind !== 'html') shown.text?.update(block.source);
  }

  /** Removes all blocks from that index on. */
  cut(index: number): void {
    for (const { element: old } of this.#shown.splice(index)) old.remove();
  }
}

function make(key: string, block: Block): ShownBlock {
  const holder = element('div', { class: 'block' });
  if (block.kind === 'html') {
    holder.append(safeFragment(block.html));
    for (const code of holder.querySelectorAll('pre')) addCopyButton(holder, code);
    return { key, element: holder };
  }
  if (block.kind === 'plain') {
    holder.classList.add('plain');
    return { key, element: holder, text: new PlainText(holder) };
  }
  const code = element('code');
  holder.append(element('pre', {}, code));
  addCopyButton(holder, code);
  return { key, element: holder, text: new PlainText(code) };
}

function addCopyButton(holder: HTMLElement, code: HTMLElement): void {
  const copy = button('Copy', () => void copyText(copy, code.textContent), { class: 'copy small quiet' });
  holder.classList.add('has-code');
  holder.append(copy);
}
