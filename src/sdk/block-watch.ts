// Finds out which handler's code kept the event loop to itself. A worker whose loop is blocked for longer than its lease
// loses every run it has, and only the run whose code blocked it is to blame: the others must not pay for it again and
// again. Nothing is measured while the loop turns: a thread watches a heartbeat of this one, and only where beats are missing
// it interrupts this thread (as a debugger does, also within a loop that never ends) and asks whose code is running.
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../base/clock.ts';
import { currentScope, inScope, type AgentScope } from './agent-scope.ts';

/** Beats in the time after which a step counts as blocking. */
const BEATS = 10;
/** Samples in a row of one agent's code that make it the one to blame. Two beats at either end belong to nobody for certain.
 *  A process that was frozen as a whole has no samples: its thread was frozen too. */
const SAMPLES_BLOCKED = BEATS - 3;
/** Words of the memory that both threads see. */
const BEAT = 0;
const IS_WATCHED = 1;

/** Calls `work` in the scope, and tells the scope when its code has blocked the event loop. */
export interface Blocks {
  run<T>(scope: AgentScope, work: () => Promise<T>): Promise<T>;
}

/** Each watch is reached by a number of its own from the thread that interrupts. */
const watches = new Map<number, () => void>();
let watchCount = 0;
const SAMPLE = Symbol.for('holdline.sampleBlockedLoop');

/** In plain JavaScript: it is the same from sources and when built. The session exists only while beats are missing. */
const WATCHDOG = `
const { workerData: { shared, everyMs, id } } = require('node:worker_threads');
const { Session } = require('node:inspector');
const words = new Int32Array(shared);
const expression = 'globalThis[Symbol.for("holdline.sampleBlockedLoop")]?.(' + id + ')';
let last = -1;
let missed = 0;
let session;
setInterval(() => {
  const beat = Atomics.load(words, ${BEAT});
  const isMissing = beat === last && Atomics.load(words, ${IS_WATCHED}) === 1;
  last = beat;
  missed = isMissing ? missed + 1 : 0;
  if (!isMissing) {
    session?.disconnect();
    session = undefined;
  } else if (missed > 1) {
    if (session === undefined) {
      session = new Session();
      session.connectToMainThread();
    }
    session.post('Runtime.evaluate', { expression, silent: true });
  }
}, everyMs);
`;

export class BlockWatch implements Blocks {
  readonly #clock: Clock;
  readonly #blockedMs: number;
  readonly #onFault: (error: unknown) => void;
  readonly #words = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #id = (watchCount += 1);
  #watchdog: Worker | undefined;
  #beating: Timer | undefined;
  #beatAt = 0;
  #running = 0;
  #suspect: AgentScope | undefined;
  #samples = 0;

  /** Code that keeps the loop for `blockedMs` or longer blocks. `onFault`: from now on nobody can be blamed. */
  constructor(clock: Clock, blockedMs: number, onFault: (error: unknown) => void) {
    this.#clock = clock;
    this.#blockedMs = blockedMs;
    this.#onFault = onFault;
  }

  /** Also of work that blocks in its first step, before it returns. */
  async run<T>(scope: AgentScope, work: () => Promise<T>): Promise<T> {
    if (this.#running === 0) this.#start();
    this.#running += 1;
    try {
      return await inScope(scope, work);
    } finally {
      this.#running -= 1;
      // It may have ended in the step that blocked, and then no beat comes between.
      if (this.#suspect === scope) this.#judge();
      if (this.#running === 0) this.#pause();
    }
  }

  async close(): Promise<void> {
    this.#pause();
    watches.delete(this.#id);
    await this.#watchdog?.terminate();
  }

  #start(): void {
    this.#watchdog ??= this.#startWatchdog();
    Atomics.store(this.#words, IS_WATCHED, 1);
    this.#beat();
  }

  #pause(): void {
    this.#beating?.cancel();
    Atomics.store(this.#words, IS_WATCHED, 0);
  }

  #startWatchdog(): Worker {
    watches.set(this.#id, () => this.#sample());
    Reflect.set(globalThis, SAMPLE, (id: number) => watches.get(id)?.());
    const workerData = { shared: this.#words.buffer, everyMs: this.#blockedMs / BEATS, id: this.#id };
    const watchdog = new Worker(WATCHDOG, { eval: true, workerData, execArgv: [], env: {} });
    watchdog.on('error', this.#onFault);
    watchdog.unref();
    return watchdog;
  }

  #beat(): void {
    this.#judge();
    this.#beatAt = this.#clock.mono();
    Atomics.add(this.#words, BEAT, 1);
    this.#beating = this.#clock.after(this.#blockedMs / BEATS, () => this.#beat());
  }

  /** Called in the middle of whatever this thread does. */
  #sample(): void {
    const scope = currentScope();
    if (scope !== this.#suspect) this.#samples = 0;
    this.#suspect = scope;
    this.#samples += 1;
  }

  #judge(): void {
    const suspect = this.#suspect;
    const samples = this.#samples;
    this.#suspect = undefined;
    this.#samples = 0;
    if (samples >= SAMPLES_BLOCKED) suspect?.onBlocked(Math.round(this.#clock.mono() - this.#beatAt));
  }
}
