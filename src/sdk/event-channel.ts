// The buffer between an agent's code, which writes at any time, and its run, which reads at the log's pace. A writer
// that awaits its writes stays within a small buffer; any other is stopped at a hard limit.
import { ANSWER_CHARS_MAX } from '../session/events/answer-builder.ts';
import type { ProviderEvent } from '../worker/provider.ts';
import { AnswerTooLargeError } from '../worker/run/token-writer.ts';

/** UTF-16 code units in the buffer above which a writer has to wait. */
export const CHANNEL_CHARS_MAX = 64 * 1024;

type End = { readonly reason: 'over' } | { readonly reason: 'failed'; readonly error: unknown };

export class EventChannel {
  readonly #signal: AbortSignal;
  #waiting: ProviderEvent[] = [];
  #chars = 0;
  #end: End | undefined;
  #wake: (() => void) | undefined;
  #room: { readonly given: Promise<void>; readonly give: () => void } | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#turn(), { once: true });
  }

  /** `chars`: the size of the event. Resolves when there is room for more, and never rejects: a caller need not
   *  await it. @throws the signal's reason, at once, when the run is over */
  write(event: ProviderEvent, chars: number): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#end !== undefined) return Promise.resolve();
    this.#chars += chars;
    if (this.#chars > ANSWER_CHARS_MAX)
      this.fail(new AnswerTooLargeError('more waited to be written than an answer may have'));
    else this.#waiting.push(event);
    this.#wake?.();
    return this.#chars > CHANNEL_CHARS_MAX ? this.#untilRoom() : Promise.resolve();
  }

  close(): void {
    this.#finish({ reason: 'over' });
  }

  /** Earlier events are still read first. */
  fail(error: unknown): void {
    this.#finish({ reason: 'failed', error });
  }

  /** Ends when the channel is closed or its signal aborts. @throws the error of `fail` */
  async *read(): AsyncGenerator<ProviderEvent, void, undefined> {
    while (!this.#signal.aborted) {
      const batch = this.#waiting;
      this.#waiting = [];
      this.#chars = 0;
      this.#room?.give();
      yield* batch;
      if (this.#waiting.length > 0) continue;
      if (this.#end?.reason === 'failed') throw this.#end.error;
      if (this.#end !== undefined) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #finish(end: End): void {
    this.#end ??= end;
    this.#turn();
  }

  #turn(): void {
    this.#wake?.();
    this.#room?.give();
  }

  #untilRoom(): Promise<void> {
    if (this.#room === undefined) {
      let give = (): void => undefined;
      const given = new Promise<void>((resolve) => (give = resolve));
      this.#room = {
        given,
        give: () => {
          this.#room = undefined;
          give();
        },
      };
    }
    return this.#room.given;
  }
}
