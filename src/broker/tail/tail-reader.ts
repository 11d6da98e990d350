// One attached reader of a topic: its position and at most one consumer that waits for the next result. A reader holds
// no records: what it missed it reads from the log when its consumer is ready for more.
//
// How a new record wakes a reader, on every engine:
//  1. The engine makes the record visible and marks each reader that wants it in a `WakeList`: one flag per reader.
//  2. After the whole batch the engine drains the list. The list clears a reader's flag before it calls `wake`, so that
//     a record that becomes visible during the call marks the reader again. No wake-up is lost.
//  3. `wake` notes that the reader is behind. It stops there if no consumer waits, or if a read or a call of the
//     listener is under way: step 6 continues then.
//  4. The reader reads from its position. A record that is in memory is read synchronously.
//  5. The reader moves its position behind the result and hands the result over in the same turn of the event loop.
//  6. A followed reader that is still behind reads again in a microtask; an iterator reads again with its next `next`.
//
// Invariants:
//  - No promise between fdatasync and socket: steps 1 to 5 are plain calls for a record that is in memory. A promise
//    for each reader and token would cost more than the rest of the delivery.
//  - The position only moves over records that were handed out or, for majors only, over records that are not wanted.
//  - A reader whose consumer waits has read up to the end and was not woken since.
//  - What a listener throws ends its own tail only: it never reaches the engine that called `wake`.
import type { StopSignal } from '../../base/stop-signal.ts';
import type { ReadResult, Reset, Tail, TailListener } from '../broker.ts';
import type { Position } from '../position.ts';

export interface TailSource {
  /** Synchronous where everything is in memory. `position` is the reader's own object and does not change before the
   *  result is there. */
  readFrom(position: Position, majorOnly: boolean): ReadResult | Promise<ReadResult>;
  /** @throws BrokerError closed */
  attach(reader: TailReader): void;
  detach(reader: TailReader): void;
}

type Answer = IteratorResult<ReadResult, undefined>;

const DONE: Answer = { done: true, value: undefined };

export class TailReader implements Tail, AsyncIterableIterator<ReadResult, undefined> {
  readonly majorOnly: boolean;
  readonly #source: TailSource;
  readonly #signal: StopSignal;
  readonly #onAbort = (): void => this.#finish();
  /** An object of this reader's own: it moves with every token. */
  readonly #position: { epoch: string; offset: number };
  #state: 'new' | 'attached' | 'done' = 'new';
  /** The consumer that waits for the next result: one call of `next`, or the listener of `follow`. */
  #listener: TailListener | undefined;
  #isFollowed = false;
  #doing: 'nothing' | 'reading' | 'calling' = 'nothing';
  /** There may be records behind the position. False after a live token: to look behind it would cost as much again. */
  #isBehind = true;
  #ended: Reset | undefined;
  /** Owned by the wake list. */
  marked = false;
  /** Owned by the topic that the reader is attached to: the next reader there. */
  beside: TailReader | undefined;

  constructor(
    source: TailSource,
    from: Position,
    options: { readonly signal: StopSignal; readonly majorOnly?: boolean },
  ) {
    this.#source = source;
    this.#position = { epoch: from.epoch, offset: from.offset };
    this.#signal = options.signal;
    this.majorOnly = options.majorOnly ?? false;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#listener === undefined) this.#listen(new PendingNext(resolve, reject));
      else reject(new Error('a tail answers one question at a time'));
    });
  }

  follow(listener: TailListener): void {
    this.#isFollowed = true;
    this.#listen(listener);
  }

  return(): Promise<Answer> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  /** There may be something new. The reader looks for it as soon as a consumer waits. Does not throw. */
  wake(): void {
    this.#isBehind = true;
    this.#look();
  }

  /** The topic's epoch has ended. The next `wake` hands out `reset`, even if the topic was made again by then. */
  end(reset: Reset): void {
    this.#ended ??= reset;
  }

  /** The engine closes. */
  stop(): void {
    this.#finish();
  }

  #listen(listener: TailListener): void {
    try {
      if (this.#state === 'new') this.#attach();
    } catch (error) {
      this.#state = 'done';
      reportError(listener, error);
      return;
    }
    if (this.#state === 'done') {
      reportEnd(listener);
      return;
    }
    this.#listener = listener;
    this.#look();
  }

  #attach(): void {
    if (this.#signal.aborted) {
      this.#state = 'done';
      return;
    }
    this.#source.attach(this);
    this.#state = 'attached';
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  #look(): void {
    if (!this.#isBehind || this.#doing !== 'nothing' || this.#listener === undefined) return;
    if (this.#ended !== undefined) {
      this.#last(this.#ended);
      return;
    }
    this.#isBehind = false;
    try {
      const result = this.#source.readFrom(this.#position, this.majorOnly);
      if (!(result instanceof Promise)) {
        this.#give(result);
        return;
      }
      this.#doing = 'reading';
      result.then(
        (given) => this.#arrived(given),
        (error: unknown) => this.#failed(error),
      );
    } catch (error) {
      this.#failed(error);
    }
  }

  #arrived(result: ReadResult): void {
    this.#doing = 'nothing';
    if (this.#state !== 'attached') return;
    try {
      this.#give(result);
    } catch (error) {
      this.#failed(error);
    }
  }

  #give(result: ReadResult): void {
    if (result.kind !== 'batch') {
      this.#last(result);
      return;
    }
    this.#position.epoch = result.epoch;
    this.#position.offset = result.next;
    this.#isBehind ||= !result.end;
    if (result.items.length > 0) this.#handOut(result);
    else this.#look();
  }

  #handOut(result: ReadResult): void {
    const listener = this.#listener;
    if (!this.#isFollowed) {
      this.#listener = undefined;
      listener?.onResult(result);
      return;
    }
    this.#doing = 'calling';
    listener?.onResult(result);
    this.#doing = 'nothing';
    // The listener may have stopped the tail.
    if (this.#state === 'done') this.#end();
    // Each further result gets a microtask of its own: a reader that is far behind must not fill the stack.
    else if (this.#isBehind) queueMicrotask(() => this.#look());
  }

  #last(result: ReadResult): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#finish();
    if (listener === undefined) return;
    try {
      listener.onResult(result);
    } catch (error) {
      reportError(listener, error);
      return;
    }
    if (this.#isFollowed) reportEnd(listener);
  }

  /** A read failed, or the listener threw. */
  #failed(error: unknown): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#doing = 'nothing';
    this.#finish();
    if (listener !== undefined) reportError(listener, error);
  }

  #finish(): void {
    if (this.#state === 'attached') {
      this.#signal.removeEventListener('abort', this.#onAbort);
      this.#source.detach(this);
    }
    this.#state = 'done';
    if (this.#doing !== 'calling') this.#end();
  }

  #end(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) reportEnd(listener);
  }
}

function reportError(listener: TailListener, error: unknown): void {
  try {
    listener.onError(error);
  } catch (thrown) {
    warn(thrown);
  }
}

function reportEnd(listener: TailListener): void {
  try {
    listener.onEnd();
  } catch (thrown) {
    warn(thrown);
  }
}

/** An error of the last call of a listener has no receiver left. A warning of the process shows it and ends nothing. */
function warn(thrown: unknown): void {
  process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
}

/** One `next` of an iterator. */
class PendingNext implements TailListener {
  readonly #resolve: (answer: Answer) => void;
  readonly onError: (error: unknown) => void;

  constructor(resolve: (answer: Answer) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.onError = reject;
  }

  onResult(value: ReadResult): void {
    this.#resolve({ done: false, value });
  }

  onEnd(): void {
    this.#resolve(DONE);
  }
}
