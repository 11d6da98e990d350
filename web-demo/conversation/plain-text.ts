// Text shown as it was written, which grows: only new text is added, in chunks, and the browser lays out only the visible chunks.
import { element } from '../dom/element.ts';

/** UTF-16 units of a chunk: bounds the cost of laying out one line without spaces each time it grows. */
const CHUNK = 4_000;

export class PlainText {
  readonly element: HTMLElement;
  #text = '';
  #last: Text | undefined;

  constructor(target: HTMLElement) {
    this.element = target;
  }

  update(text: string): void {
    if (text === this.#text) return;
    if (!text.startsWith(this.#text)) {
      this.element.replaceChildren();
      this.#last = undefined;
      this.#text = '';
    }
    let at = this.#text.length;
    this.#text = text;
    while (at < text.length) at = this.#add(at);
  }

  /** @returns how far it came */
  #add(at: number): number {
    const room = CHUNK - (this.#last?.length ?? CHUNK);
    if (this.#last === undefined || room <= 0) {
      this.#last = document.createTextNode('');
      this.element.append(element('div', { class: 'chunk' }, this.#last));
      return at;
    }
    const end = chunkEnd(this.#text, at, at + room);
    this.#last.appendData(this.#text.slice(at, end));
    if (end < this.#text.length) this.#last = undefined;
    return end;
  }
}

/** Behind the last line's end in the range, where nobody sees that a chunk ends; else behind a space; never inside a character. */
export function chunkEnd(text: string, start: number, limit: number): number {
  if (limit >= text.length) return text.length;
  const line = text.lastIndexOf('\n', limit - 1);
  if (line >= start) return line + 1;
  const space = text.lastIndexOf(' ', limit - 1);
  if (space >= start) return space + 1;
  const isHalf = /[\ud800-\udbff]/.test(text.charAt(limit - 1));
  return isHalf ? limit + 1 : limit;
}
