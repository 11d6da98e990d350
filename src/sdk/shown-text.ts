// The text of an answer as it arrives, yielded once and never taken back. Text that another attempt repeats is skipped;
// different text is an error. A fold by the joining rule [PROTOCOL §4], without I/O.
import type { Delta, RunRestarted } from '../session/events/chat-event.ts';
import { AgentError } from '../worker/agent-error.ts';

export class ShownText {
  #shown = '';
  /** Code units of each text part so far; other parts are not counted. */
  #lengths: number[] = [];

  /** Returns the text that was not yielded yet. @throws AgentError ask-restarted, ask-lost */
  add({ part, kind, at, text }: Delta): string {
    if (kind !== 'text') return '';
    const from = this.#before(part) + at;
    if (from > this.#shown.length || at !== (this.#lengths[part] ?? 0))
      throw new AgentError('ask-lost', 'a part of an answer is missing', { retryable: true });
    this.#lengths[part] = at + text.length;
    const known = from === this.#shown.length ? '' : this.#shown.slice(from, from + text.length);
    if (!text.startsWith(known))
      throw new AgentError('ask-restarted', 'an agent restarted its answer with other text', {
        retryable: true,
      });
    const fresh = text.slice(known.length);
    this.#shown += fresh;
    return fresh;
  }

  /** The next delta continues at this part and offset. */
  restart({ part, at }: RunRestarted): void {
    this.#lengths.length = Math.min(this.#lengths.length, part + 1);
    if (this.#lengths[part] !== undefined) this.#lengths[part] = at;
  }

  #before(part: number): number {
    return this.#lengths.slice(0, part).reduce((sum, length) => sum + length, 0);
  }
}
