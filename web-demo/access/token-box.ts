// Asks for a token where the page has none, or none that the server takes.
import { parseAddress } from './address.ts';
import { find, setText } from '../dom/element.ts';

export class TokenBox {
  readonly #box = find('token-box', HTMLFormElement);
  readonly #token = find('token', HTMLTextAreaElement);
  readonly #fault = find('token-fault', HTMLElement);

  constructor(save: (token: string) => void) {
    this.#box.addEventListener('submit', (event) => {
      event.preventDefault();
      const token = tokenIn(this.#token.value);
      if (token === undefined) setText(this.#fault, 'That is not a token: it should look like eyJ….….…');
      else save(token);
    });
  }

  /** @param fault why the page asks again */
  show(fault = ''): void {
    setText(this.#fault, fault);
    this.#box.hidden = false;
    this.#token.focus();
  }
}

/** Finds the token in the pasted text: the token itself, `Bearer …`, or the whole link that `npm start` printed. */
export function tokenIn(pasted: string): string | undefined {
  const text = pasted.trim();
  const hash = text.indexOf('#');
  const token = hash >= 0 ? parseAddress(text.slice(hash)).token : text.replace(/^Bearer\s+/i, '');
  return token !== undefined && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token) ? token : undefined;
}
