// One attached reader: its place in a topic and at most one unanswered question. It holds no records; what it missed
// is read when it asks. Invariants: the cursor only moves over what was handed out (or, for majors only, over what
// is not wanted), and a reader that waits has read up to the end, and was not woken since.
import type { StopSignal } from '../../stop-signal.ts';
import type { ReadResult, Reset } from '../broker.ts';
import type { Position } from '../position.ts';

export interface TailSource {
  /** Synchronous where everything is in memory, so that a live token costs one promise. */
  readFrom(position: Position, majorOnly: boolean): ReadResult | Promise<ReadResult>;
  /** @throws BrokerError closed */
  attach(reader: TailReader): void;
  detach(reader: TailReader): void;
}

/** Is called back, in order, one result at a time. */
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
  #position: Position;
  #state: 'new' | 'attached' | 'done' = 'new';
  /** Of the question that waits for its answer. Two fields rather than an object: thousands of tails wait at once. */
  #asked: ((answer: Answer) => void) | undefined;
  #refuse: ((error: unknown) => void) | undefined;
  #reading = false;
  /** There may be more than it was given. A live token is the last there is: to look behind it would cost as much again. */
  #isBehind = true;
  #ended: Reset | undefined;
  /** Owned by the ring. */
  marked = false;

  constructor(source: TailSource, from: Position, options: { readonly signal: StopSignal; readonly majorOnly?: boolean }) {
    this.#source = source;
    this.#position = from;
    this.#signal = options.signal;
    this.majorOnly = options.majorOnly ?? false;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Answer> {
    return new Promise((resolve, reject) => this.#ask(resolve, reject));
  }

  /** Instead of being asked again and again. */
  follow(listener: TailListener): void {
    const answered = ({ done, value }: Answer): void => {
      if (done === true) {
        listener.onEnd();
        return;
      }
      listener.onResult(value);
      // What is read at once is given in turns of its own: who is far behind must not fill the stack.
      if (this.#isBehind && this.#state === 'attached') queueMicrotask(ask);
      else ask();
    };
    const refused = (error: unknown): void => listener.onError(error);
    const ask = (): void => this.#ask(answered, refused);
    ask();
  }

  return(): Promise<Answer> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  /** There may be something new. It is looked for when somebody waits for it. */
  wake(): void {
    this.#isBehind = true;
    if (this.#asked !== undefined && !this.#reading) this.#serve();
  }

  /** The topic's life is over: said with the next `wake`, even if the name has a new life before the reader asks again. */
  end(reset: Reset): void {
    this.#ended ??= reset;
  }

  /** The engine closes. */
  stop(): void {
    this.#finish();
  }

  #ask(asked: (answer: Answer) => void, refuse: (error: unknown) => void): void {
    try {
      if (this.#state === 'new') this.#attach();
    } catch (error) {
      this.#state = 'done';
      refuse(error);
      return;
    }
    if (this.#state === 'done') asked(DONE);
    else if (this.#asked !== undefined) refuse(new Error('a tail answers one question at a time'));
    else {
      this.#asked = asked;
      this.#refuse = refuse;
      if (this.#isBehind) this.#serve();
    }
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

  #serve(): void {
    if (this.#ended !== undefined) { this.#last(this.#ended); return; }
    this.#isBehind = false;
    try {
      const result = this.#source.readFrom(this.#position, this.majorOnly);
      if (!(result instanceof Promise)) { this.#give(result); return; }
      this.#reading = true;
      result.then((given) => this.#arrived(given), (error: unknown) => this.#failed(error));
    } catch (error) {
      this.#failed(error);
    }
  }

  #arrived(result: ReadResult): void {
    this.#reading = false;
    if (this.#state === 'attached') this.#give(result);
  }

  #give(result: ReadResult): void {
    if (result.kind !== 'batch') { this.#last(result); return; }
    this.#position = { epoch: result.epoch, offset: result.next };
    this.#isBehind ||= !result.end;
    if (result.items.length > 0) this.#answer({ done: false, value: result });
    else if (this.#isBehind) this.#serve();
  }

  #last(result: ReadResult): void {
    const asked = this.#asked;
    this.#asked = undefined;
    this.#finish();
    asked?.({ done: false, value: result });
  }

  #failed(error: unknown): void {
    const refuse = this.#asked === undefined ? undefined : this.#refuse;
    this.#asked = undefined;
    this.#reading = false;
    this.#finish();
    refuse?.(error);
  }

  #answer(answer: Answer): void {
    const asked = this.#asked;
    this.#asked = undefined;
    asked?.(answer);
  }

  #finish(): void {
    if (this.#state === 'attached') {
      this.#signal.removeEventListener('abort', this.#onAbort);
      this.#source.detach(this);
    }
    this.#state = 'done';
    this.#answer(DONE);
  }
}
