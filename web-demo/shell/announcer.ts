// Tells screen readers what the badge and the caret show: that an answer ended, and the state of the connection. Not the tokens:
// they would drown everything else.
import type { ChatSnapshot, Input } from '../../src/client/chat-client.ts';
import { askedText, outcomeText } from '../inputs/input-text.ts';
import { find, setText } from '../dom/element.ts';

export class Announcer {
  readonly #region = find('announcer', HTMLElement);
  #running: string | undefined;
  /** The inputs that were open. */
  #asked: readonly Input[] = [];

  say(sentence: string): void {
    setText(this.#region, sentence);
  }

  /** @returns whether a run has just ended */
  follow(snapshot: ChatSnapshot, happened: string | undefined): boolean {
    const before = this.#running;
    this.#running = snapshot.activeRun?.runId;
    const ended = before !== undefined && before !== this.#running;
    const run = snapshot.runs.find(({ runId }) => runId === before);
    const asked = this.#followInputs(snapshot);
    if (asked !== undefined) this.say(asked);
    else if (ended && run !== undefined) this.say(ENDS[run.state]);
    else if (happened !== undefined) this.say(happened);
    return ended;
  }

  forget(): void {
    this.#running = undefined;
    this.#asked = [];
  }

  /** What is asked now, or how what was asked has ended. */
  #followInputs({ messages, openInputs }: ChatSnapshot): string | undefined {
    const before = this.#asked;
    this.#asked = openInputs;
    if (before === openInputs) return undefined;
    const isNew = (input: Input): boolean => before.every(({ inputId }) => inputId !== input.inputId);
    const fresh = openInputs.find(isNew);
    if (fresh !== undefined) return `The answer asks you: ${askedText(fresh)}`;
    const over = before.find((input) => openInputs.every(({ inputId }) => inputId !== input.inputId));
    const now = messages.flatMap(({ inputs = [] }) => inputs).find(({ inputId }) => inputId === over?.inputId);
    return now === undefined ? undefined : outcomeText(now);
  }
}

const ENDS = {
  queued: 'The answer waits for its turn',
  running: 'The answer goes on',
  waiting: 'The answer waits for you',
  completed: 'The answer is complete',
  failed: 'The answer failed',
  cancelled: 'The answer was stopped',
} as const;
