// One growing text on the page. Keeps the blocks that did not change, so that what a reader has selected or is
// reading aloud stays put while the end is being written.
import { button, element } from './element.ts';
import { markdownBlocks } from './markdown.ts';

/** How long a button says that it has copied. */
const COPIED_MS = 1_500;

export class MarkdownView {
  readonly element = element('div', { class: 'markdown' });
  #text = '';
  #blocks: { readonly raw: string; readonly element: HTMLElement }[] = [];

  update(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    const blocks = markdownBlocks(text);
    let same = 0;
    while (same < blocks.length && blocks[same]?.raw === this.#blocks[same]?.raw) same += 1;
    for (const old of this.#blocks.splice(same)) old.element.remove();
    for (const block of blocks.slice(same)) {
      const holder = element('div', { class: 'block' }, block.render());
      for (const code of holder.querySelectorAll('pre')) addCopyButton(holder, code);
      this.#blocks.push({ raw: block.raw, element: holder });
      this.element.append(holder);
    }
  }
}

function addCopyButton(holder: HTMLElement, code: HTMLPreElement): void {
  const copy = button('Copy', () => void copyText(copy, code.textContent), { class: 'copy small quiet' });
  holder.classList.add('has-code');
  holder.append(copy);
}

/** Where the browser refuses the clipboard, the button says so and the text can still be selected. */
export async function copyText(from: HTMLButtonElement, text: string): Promise<void> {
  const label = from.dataset['label'] ?? from.textContent;
  from.dataset['label'] = label;
  try {
    await navigator.clipboard.writeText(text);
    from.textContent = 'Copied';
  } catch {
    from.textContent = 'Select and copy by hand';
  }
  setTimeout(() => (from.textContent = label), COPIED_MS);
}
