// Tells screen readers what the badge and the caret show: that an answer ended, and the state of the connection. Not the tokens:
// they would drown everything else.
import type { ChatSnapshot } from '../../src/client/chat-client.ts';
import { find, setText } from '../dom/element.ts';

export class Announcer {
  readonly #region = find('announcer', HTMLElement);
  #running: string | undefined;

  say(sentence: string): void {
    setText(this.#region, sentence);
  }

  /** @returns whether a run has just ended */
  follow(snapshot: ChatSnapshot, happened: string | undefined): boolean {
    const before = this.#running;
    this.#running = snapshot.activeRun?.runId;
    const ended = before !== undefined && before !== this.#running;
    const run = snapshot.runs.find(({ runId }) => runId === before);
    if (ended && run !== undefined) this.say(ENDS[run.state]);
    else if (happened !== undefined) this.say(happened);
    return ended;
  }

  forget(): void {
    this.#running = undefined;
  }
}

const ENDS = {
  queued: 'The answer waits for its turn',
  running: 'The answer goes on',
  waiting: 'The answer waits for an answer of yours',
  completed: 'The answer is complete',
  failed: 'The answer failed',
  cancelled: 'The answer was stopped',
} as const;
