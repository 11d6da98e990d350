// The card of one input at the answer that asks: what is asked, the controls while it is open, and how it ended. On every
// tab; where another tab answers, the controls go and the card says who answered.
import type { Input, InputAnswer, ToolCallPart } from '../../src/client/chat-client.ts';
import { element, setText } from '../dom/element.ts';
import { answerForm } from './answer-form.ts';
import { askedText, outcomeText, SENDING, STILL_SENDING } from './input-text.ts';

/** Undefined: it was taken. Else why not. */
export type SendAnswer = (input: Input, answer: InputAnswer) => Promise<string | undefined>;

/** An answer that takes longer has met a network that is away, or a server that does not answer. */
const LATE_MS = 3_000;

const KINDS = { approval: 'Approval needed', question: 'Question', tool: 'Result needed' } as const;

export class InputCard {
  readonly element: HTMLElement;
  readonly #send: SendAnswer;
  readonly #controls: HTMLFieldSetElement;
  readonly #fault = element('p', { class: 'input-fault', role: 'alert', hidden: '' });
  readonly #sending = element('p', { class: 'note', role: 'status', 'data-testid': 'sending', hidden: '' });
  readonly #outcome = element('p', { class: 'input-outcome', 'data-testid': 'outcome', tabindex: '-1', hidden: '' });
  readonly #until = element('p', { class: 'note' });
  readonly #call = element('pre', { class: 'input-call', hidden: '' });
  #input: Input;

  constructor(input: Input, send: SendAnswer) {
    this.#input = input;
    this.#send = send;
    const asked = element('p', { class: 'input-asked', id: `asked-${input.inputId}` }, askedText(input));
    this.#controls = element(
      'fieldset',
      { 'aria-labelledby': asked.id },
      ...answerForm(input, (answer) => void this.#answer(answer)),
    );
    this.element = element(
      'section',
      { class: 'input-card', 'data-testid': 'input', 'data-kind': input.kind, 'aria-label': KINDS[input.kind] },
      element('p', { class: 'input-kind' }, KINDS[input.kind]),
      asked,
      this.#call,
      this.#controls,
      this.#sending,
      this.#fault,
      this.#until,
      this.#outcome,
    );
    this.element.addEventListener('keydown', (event) => {
      // On the page this key stops the answer.
      if (event.key === 'Escape' && !this.#controls.hidden) event.stopPropagation();
    });
  }

  /** @param call the call that it is about */
  update(input: Input, call: ToolCallPart | undefined): void {
    this.#input = input;
    const outcome = outcomeText(input);
    const isOpen = outcome === undefined;
    const hadFocus = this.#controls.contains(document.activeElement);
    this.element.dataset['state'] = input.state;
    this.#showCall(call);
    setText(this.#until, isOpen && input.expiresAt !== undefined ? `Open until ${timeOf(input.expiresAt)}` : '');
    this.#until.hidden = this.#until.textContent === '';
    this.#controls.hidden = !isOpen;
    if (!isOpen) {
      this.#show(this.#fault, undefined);
      this.#show(this.#sending, undefined);
    }
    setText(this.#outcome, outcome ?? '');
    this.#outcome.hidden = isOpen;
    // What had the focus is gone: screen readers read the outcome, and Tab continues from here.
    if (hadFocus && !isOpen) this.#outcome.focus({ preventScroll: true });
  }

  async #answer(answer: InputAnswer): Promise<void> {
    if (this.#controls.disabled) return;
    const focused = document.activeElement;
    this.#controls.disabled = true;
    this.#show(this.#fault, undefined);
    const refusal = await this.#sendWithSign(answer);
    this.#controls.disabled = false;
    if (this.#input.state === 'open') this.#show(this.#fault, refusal);
    // A disabled control loses the focus.
    if (document.activeElement !== document.body) return;
    if (this.#controls.hidden) this.#outcome.focus({ preventScroll: true });
    else if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  }

  #showCall(call: ToolCallPart | undefined): void {
    const { toolName = this.#input.toolName } = call ?? {};
    setText(this.#call, toolName === undefined ? '' : `${toolName} ${call?.text ?? ''}`.trim());
    this.#call.hidden = this.#call.textContent === '';
  }

  /** What was typed stays in the controls until the server has the answer. */
  async #sendWithSign(answer: InputAnswer): Promise<string | undefined> {
    this.#show(this.#sending, SENDING);
    const late = setTimeout(() => {
      if (this.#input.state === 'open') this.#show(this.#sending, STILL_SENDING);
    }, LATE_MS);
    try {
      return await this.#send(this.#input, answer);
    } finally {
      clearTimeout(late);
      this.#show(this.#sending, undefined);
    }
  }

  #show(line: HTMLElement, text: string | undefined): void {
    setText(line, text ?? '');
    line.hidden = text === undefined;
  }
}

function timeOf(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime())
    ? iso
    : time.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
