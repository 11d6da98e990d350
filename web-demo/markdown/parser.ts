// Parses slices in a Web Worker, one at a time, each within a budget of time: a parse that takes longer is ended with its worker, and
// the next one gets a new worker. A page on which no worker starts parses nothing, and shows text as it was written.
import type { Definition, ParsedSlice } from './parsed-slice.ts';
import type { ParseReply, ParseRequest } from './parse-worker.ts';

/** `too-hard`: the parser took too long, or its worker died. `unavailable`: no worker starts on this page. */
export type ParseOutcome = ParsedSlice | 'too-hard' | 'unavailable';

export interface ParserWorker {
  post(request: ParseRequest): void;
  end(): void;
}

export interface ParserParts {
  /** @param failed it could not be loaded, or died @throws where workers are not to be had */
  readonly openWorker: (received: (reply: ParseReply) => void, failed: () => void) => ParserWorker;
  /** Calls back once after `ms`; the returned function takes it back. */
  readonly after: (ms: number, callback: () => void) => () => void;
}

interface Job {
  readonly source: string;
  readonly definitions: readonly Definition[];
  readonly done: (outcome: ParseOutcome) => void;
}

/** A slice of the largest size takes a small part of it, also on a slow phone. */
const PARSE_MS_MAX = 1_000;
/** Counted in ticks: a device that slept, or a page that was busy itself, does not use up a budget at once. */
const TICKS = 5;
const START_MS_MAX = 15_000;
const STARTS_FAILED_MAX = 2;

export class Parser {
  readonly #parts: ParserParts;
  readonly #waiting: Job[] = [];
  #worker: ParserWorker | undefined;
  #workerId = 0;
  #isReady = false;
  #job: Job | undefined;
  #jobId = 0;
  #failedStarts = 0;
  #stopTimer: () => void = () => undefined;

  constructor(parts: ParserParts) {
    this.#parts = parts;
  }

  /** Newest first: the reader most often looks at the newest text. */
  parse(source: string, definitions: readonly Definition[]): Promise<ParseOutcome> {
    return new Promise((done) => {
      this.#waiting.push({ source, definitions, done });
      this.#next();
    });
  }

  #next(): void {
    if (this.#job !== undefined || this.#waiting.length === 0) return;
    if (this.#failedStarts >= STARTS_FAILED_MAX) {
      for (const job of this.#waiting.splice(0)) job.done('unavailable');
      return;
    }
    if (this.#worker === undefined) this.#start();
    if (!this.#isReady || this.#worker === undefined) return;
    const job = this.#waiting.pop();
    if (job === undefined) return;
    this.#job = job;
    this.#jobId += 1;
    this.#worker.post({ id: this.#jobId, source: job.source, definitions: job.definitions });
    this.#tick(TICKS);
  }

  #start(): void {
    // Messages of an earlier worker are ignored.
    this.#workerId += 1;
    const id = this.#workerId;
    const ifCurrent = (act: () => void): void => {
      if (id === this.#workerId) act();
    };
    try {
      this.#worker = this.#parts.openWorker(
        (reply) => ifCurrent(() => this.#received(reply)),
        () => ifCurrent(() => this.#failed()),
      );
      this.#stopTimer = this.#parts.after(START_MS_MAX, () => this.#failed());
    } catch {
      // A browser without module workers, or a policy that forbids them.
      this.#failedStarts = STARTS_FAILED_MAX;
      this.#next();
    }
  }

  #received(reply: ParseReply): void {
    if (reply === 'ready') {
      this.#stopTimer();
      this.#isReady = true;
      this.#failedStarts = 0;
    } else if (reply.id === this.#jobId) this.#settle(reply.slice);
    this.#next();
  }

  #tick(left: number): void {
    this.#stopTimer = this.#parts.after(PARSE_MS_MAX / TICKS, () => {
      if (left > 1) this.#tick(left - 1);
      else this.#end('too-hard');
    });
  }

  #failed(): void {
    if (!this.#isReady) this.#failedStarts += 1;
    this.#end('too-hard');
  }

  #end(outcome: ParseOutcome): void {
    this.#worker?.end();
    this.#worker = undefined;
    this.#workerId += 1;
    this.#isReady = false;
    this.#settle(outcome);
    this.#next();
  }

  #settle(outcome: ParseOutcome): void {
    this.#stopTimer();
    const job = this.#job;
    this.#job = undefined;
    job?.done(outcome);
  }
}
