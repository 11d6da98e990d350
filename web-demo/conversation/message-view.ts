// One message on the page. Updates its elements: the parts keep theirs, the foot shows the status, the alternatives, and the
// actions.
import type {
  AttachedFile,
  Input,
  InputAnswer,
  Message,
  Part,
  Run,
  ToolCallPart,
} from '../../src/client/chat-client.ts';
import { copyText } from '../dom/copy-button.ts';
import { button, element, setText } from '../dom/element.ts';
import { InputCard } from '../inputs/input-card.ts';
import { ForkSwitch } from './fork-switch.ts';
import type { Parser } from '../markdown/parser.ts';
import { ACTION_LABELS, actionsFor, isUnanswered } from './message-actions.ts';
import type { ActionName } from './message-actions.ts';
import { plainText, sentenceOf, statusOf } from './message-status.ts';
import { partView } from './part-view.ts';
import type { PartView } from './part-view.ts';
import { PromptEditor } from './prompt-editor.ts';

export interface MessageActions {
  /** Sends an unsent message once more, under its id. */
  resend(message: Message): void;
  discard(message: Message): void;
  withdraw(message: Message, run: Run | undefined): void;
  /** Edits the prompt, or sends a replacement. @returns whether it succeeded */
  edit(message: Message, run: Run | undefined, content: string): Promise<boolean>;
  /** Another answer to that prompt. */
  regenerate(promptId: string): void;
  select(runId: string): void;
  /** Saves an attached file on this device. */
  save(file: AttachedFile): void;
  /** Answers what the run asks. @returns why it was not taken */
  answer(input: Input, answer: InputAnswer): Promise<string | undefined>;
}

export class MessageView {
  readonly element: HTMLElement;
  readonly #actions: MessageActions;
  readonly #parser: Parser;
  readonly #body = element('div', { class: 'body' });
  readonly #sentence = element('span', { class: 'sentence' });
  readonly #buttons = element('span', { class: 'actions' });
  readonly #fork: ForkSwitch;
  readonly #answers: ForkSwitch;
  readonly #foot: HTMLElement;
  readonly #parts = new Map<string, PartView>();
  readonly #cards = new Map<string, InputCard>();
  #shownActions = '';
  #editor: PromptEditor | undefined;
  #message: Message | undefined;
  #run: Run | undefined;

  constructor(message: Message, actions: MessageActions, parser: Parser) {
    this.#actions = actions;
    this.#parser = parser;
    const label = message.role === 'assistant' ? 'Answer' : 'You';
    const select = (runId: string): void => actions.select(runId);
    this.#fork = new ForkSwitch(message.role === 'assistant' ? 'Answer' : 'Message', select);
    this.#answers = new ForkSwitch('Answer', select);
    const forks = [this.#answers.element, this.#fork.element];
    const rest = [this.#sentence, this.#buttons];
    // At the edge that the message is at, so that they stand still while buttons come and go.
    this.#foot = element(
      'div',
      { class: 'status' },
      ...(message.role === 'assistant' ? [...forks, ...rest] : [...rest, ...forks]),
    );
    this.element = element(
      'article',
      { class: 'message', 'data-testid': 'message', 'data-role': message.role, 'aria-label': label },
      this.#body,
      this.#foot,
    );
  }

  update(message: Message, run: Run | undefined): void {
    if (message === this.#message && run === this.#run) return;
    const status = statusOf(message, run);
    this.element.dataset['messageId'] = message.messageId;
    this.element.dataset['status'] = status;
    this.element.dataset['length'] = String(plainText(message).length);
    // Spoken once it is finished, not word by word.
    this.element.ariaBusy = String(status === 'running');
    if (message.parts !== this.#message?.parts || message.inputs !== this.#message.inputs) this.#showParts(message);
    this.#message = message;
    this.#run = run;
    this.#showFoot(message, run);
  }

  #showParts(message: Message): void {
    const wanted = new Set<string>();
    for (const part of message.parts) {
      // A part may be cut away and come back as another kind: that is another view.
      const key = keyOf(part);
      wanted.add(key);
      const view =
        this.#parts.get(key) ?? partView(part, message.role, this.#parser, (file) => this.#actions.save(file));
      this.#parts.set(key, view);
      view.update(part, inputOf(part, message));
    }
    for (const [key, view] of this.#parts) {
      if (wanted.has(key)) continue;
      view.element.remove();
      this.#parts.delete(key);
    }
    this.#showInputs(message);
    // An element that is in its place stays there: a moved one loses the focus.
    elementsInOrder(message, this.#parts, this.#cards).forEach((wantedThere, index) => {
      const there = this.#body.children[index] ?? null;
      if (there !== wantedThere) this.#body.insertBefore(wantedThere, there);
    });
  }

  #showInputs({ inputs = [], parts }: Message): void {
    for (const input of inputs) {
      const card =
        this.#cards.get(input.inputId) ?? new InputCard(input, (asked, answer) => this.#actions.answer(asked, answer));
      this.#cards.set(input.inputId, card);
      card.update(
        input,
        parts.find((part) => isCallOf(part, input)),
      );
    }
    const asked = new Set(inputs.map(({ inputId }) => inputId));
    for (const [inputId, card] of this.#cards) {
      if (asked.has(inputId)) continue;
      card.element.remove();
      this.#cards.delete(inputId);
    }
  }

  #showFoot(message: Message, run: Run | undefined): void {
    const sentence = sentenceOf(message, run);
    const actions = actionsFor(message, run);
    this.#fork.show(message.alternatives);
    this.#answers.show(message.answers);
    setText(this.#sentence, sentence ?? '');
    this.#sentence.hidden = sentence === undefined;
    this.#showActions(actions);
    // Where nothing is amiss, what can be done shows when it is looked for.
    this.#foot.classList.toggle('calm', sentence === undefined);
    const forks = message.alternatives ?? message.answers;
    this.#foot.hidden =
      this.#editor !== undefined || (sentence === undefined && actions.length === 0 && forks === undefined);
  }

  /** Only changed buttons are replaced: a button replaced under a finger or the focus is not pressed. */
  #showActions(actions: readonly ActionName[]): void {
    if (this.#shownActions === actions.join()) return;
    this.#shownActions = actions.join();
    this.#buttons.replaceChildren(
      ...actions.map((name) => {
        const made = button(ACTION_LABELS[name], () => this.#act(name, made), {
          class: 'small quiet',
          'data-testid': name,
        });
        return made;
      }),
    );
  }

  #act(name: ActionName, from: HTMLButtonElement): void {
    const message = this.#message;
    const run = this.#run;
    if (message === undefined) return;
    switch (name) {
      case 'resend':
      case 'discard':
        this.#actions[name](message);
        break;
      case 'withdraw':
        this.#actions.withdraw(message, run);
        break;
      case 'edit':
        this.#edit(message, run);
        break;
      case 'ask-again':
      case 'regenerate':
        this.#actions.regenerate(run?.promptId ?? message.messageId);
        break;
      case 'copy':
        void copyText(from, plainText(message));
    }
  }

  #edit(message: Message, run: Run | undefined): void {
    this.#openEditor(message, run, plainText(message));
  }

  async #saveEdit(message: Message, run: Run | undefined, text: string): Promise<void> {
    const isSaved = await this.#actions.edit(message, run, text);
    // What was written is not lost with the attempt.
    if (!isSaved && this.#editor === undefined && this.element.isConnected)
      this.#openEditor(this.#message ?? message, this.#run, text);
  }

  #openEditor(message: Message, run: Run | undefined, text: string): void {
    this.#editor = new PromptEditor(text, isUnanswered(message, run) ? 'Save' : 'Send', {
      save: (changed) => {
        this.#closeEditor();
        // The current status: its answer may have begun meanwhile.
        const now = this.#message ?? message;
        if (changed !== plainText(now)) void this.#saveEdit(now, this.#run, changed);
        else if (now.delivery === 'unsent') this.#actions.resend(now);
      },
      cancel: () => this.#closeEditor(),
    });
    this.#body.hidden = true;
    this.#foot.hidden = true;
    this.element.append(this.#editor.element);
    this.#editor.open();
  }

  #closeEditor(): void {
    this.#editor?.element.remove();
    this.#editor = undefined;
    this.#body.hidden = false;
    if (this.#message !== undefined) this.#showFoot(this.#message, this.#run);
    this.#buttons.querySelector<HTMLElement>('[data-testid=edit]')?.focus();
  }
}

function isCallOf(part: Part, { toolCallId }: Input): part is ToolCallPart {
  return part.kind === 'tool-call' && part.toolCallId !== undefined && part.toolCallId === toolCallId;
}

function inputOf(part: Part, { inputs = [] }: Message): Input | undefined {
  return inputs.findLast((input) => isCallOf(part, input));
}

function keyOf({ part, kind }: Part): string {
  return `${part} ${kind}`;
}

/** Each input is behind the part that was the last one when the run asked. */
function elementsInOrder(
  { parts, inputs = [] }: Message,
  views: ReadonlyMap<string, PartView>,
  cards: ReadonlyMap<string, InputCard>,
): readonly HTMLElement[] {
  const last = parts.at(-1)?.part;
  const known = new Set(parts.map(({ part }) => part));
  const cardsBehind = (place: number | undefined): readonly (HTMLElement | undefined)[] =>
    inputs
      .filter(({ afterPart }) => (afterPart === undefined || known.has(afterPart) ? afterPart : last) === place)
      .map(({ inputId }) => cards.get(inputId)?.element);
  const all = [
    ...cardsBehind(undefined),
    ...parts.flatMap((part) => [views.get(keyOf(part))?.element, ...cardsBehind(part.part)]),
  ];
  return all.filter((one) => one !== undefined);
}
