// One attached reader: its place in a topic and at most one unanswered question. It holds no records; what it missed
// is read when it asks. Invariants: the cursor only moves over what was handed out (or, for majors only, over what
// is not wanted), and a reader that waits has read up to the end, and was not woken since.
import type { StopSignal } from '../../base/stop-signal.ts';
import type { ReadResult, Reset } from '../broker.ts';
import type { Position } from '../position.ts';

export interface TailSource {
  /** Synchronous where everything is in memory: a live token waits for no promise. The position is the reader's own, and
   *  stays as it is until the result is there. */
  readFrom(position: Position, majorOnly: boolean): ReadResult | Promise<ReadResult>;
  /** @throws BrokerError closed */
  attach(reader: TailReader): void;
  detach(reader: TailReader): void;
}

/** Is told, in order, one result at a time. */
export interface TailListener {
  /** Must not throw. */
  onResult(result: ReadResult): void;
  /** Nothing follows: the tail was stopped, or the last result was no batch. */
  onEnd(): void;
  onError(error: unknown): void;
}

type Answer = IteratorResult<ReadResult, undefined>;

const DONE: Answer = { done: true, value: undefined };

export class TailReader implements AsyncIterableIterator<ReadResult, undefined> {
  readonly majorOnly: boolean;
  readonly #source: TailSource;
  readonly #signal: StopSignal;
  readonly #onAbort = (): void => this.#finish();
  /** Of its own: it moves with every token. */
  readonly #position: { epoch: string; offset: number };
  #state: 'new' | 'attached' | 'done' = 'new';
  /** Who waits for the next result: an iterator that has asked for it, or whoever follows. */
  #listener: TailListener | undefined;
  #isFollowed = false;
  #doing: 'nothing' | 'reading' | 'telling' = 'nothing';
  /** There may be more than it was given. A live token is the last there is: to look behind it would cost as much again. */
  #isBehind = true;
  #ended: Reset | undefined;
  /** Owned by the ring. */
  marked = false;
  /** Owned by what it is attached to: the next reader there. */
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
      if (this.#listener === undefined) this.#listen(new Question(resolve, reject));
      else reject(new Error('a tail answers one question at a time'));
    });
  }

  /** Instead of being asked again and again: the listener is told in the very turn in which something becomes visible. */
  follow(listener: TailListener): void {
    this.#isFollowed = true;
    this.#listen(listener);
  }

  return(): Promise<Answer> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  /** There may be something new. It is looked for when somebody waits for it. */
  wake(): void {
    this.#isBehind = true;
    this.#look();
  }

  /** The topic's life is over: said with the next `wake`, even if the name has a new life before the reader asks again. */
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
      listener.onError(error);
      return;
    }
    if (this.#state === 'done') {
      listener.onEnd();
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
    if (this.#state === 'attached') this.#give(result);
  }

  #give(result: ReadResult): void {
    if (result.kind !== 'batch') {
      this.#last(result);
      return;
    }
    this.#position.epoch = result.epoch;
    this.#position.offset = result.next;
    this.#isBehind ||= !result.end;
    if (result.items.length > 0) this.#tell(result);
    else this.#look();
  }

  #tell(result: ReadResult): void {
    const listener = this.#listener;
    if (!this.#isFollowed) {
      this.#listener = undefined;
      listener?.onResult(result);
      return;
    }
    this.#doing = 'telling';
    listener?.onResult(result);
    this.#doing = 'nothing';
    // Stopped by who was told.
    if (this.#state === 'done') this.#end();
    // What is read at once is told in turns of its own: who is far behind must not fill the stack.
    else if (this.#isBehind) queueMicrotask(() => this.#look());
  }

  #last(result: ReadResult): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#finish();
    listener?.onResult(result);
    if (this.#isFollowed) listener?.onEnd();
  }

  #failed(error: unknown): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#doing = 'nothing';
    this.#finish();
    listener?.onError(error);
  }

  #finish(): void {
    if (this.#state === 'attached') {
      this.#signal.removeEventListener('abort', this.#onAbort);
      this.#source.detach(this);
    }
    this.#state = 'done';
    if (this.#doing !== 'telling') this.#end();
  }

  #end(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onEnd();
  }
}

/** One `next` of an iterator. */
class Question implements TailListener {
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
