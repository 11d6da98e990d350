// Finds the handler whose code blocks the event loop. A worker whose loop is blocked for longer than its lease loses
// all its runs, but only the run whose code blocked it may be charged. Nothing is measured while the loop turns: a
// watchdog thread checks a heartbeat of this thread. Only when beats are missing it interrupts this thread, as a
// debugger does, even in an endless loop, and samples whose code is running.
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../base/clock.ts';
import { currentScope, inScope, type AgentScope } from './agent-scope.ts';

/** Beats in the time after which a step counts as blocking. */
const BEATS = 10;
/** Samples of one agent's code, with no other agent's between them, after which it is charged. The two beats at either
 *  end cannot be attributed. A process that was frozen as a whole has no samples, because its watchdog was frozen
 *  too. */
const SAMPLES_BLOCKED = BEATS - 3;
/** Indexes into the memory that both threads share. */
const BEAT = 0;
const IS_WATCHED = 1;

/** Calls `work` in the scope, and notifies the scope when its code has blocked the event loop. */
export interface Blocks {
  run<T>(scope: AgentScope, work: () => Promise<T>): Promise<T>;
}

/** The watches of this process by number, for the thread that interrupts it. */
const watches = new Map<number, () => void>();
let watchCount = 0;
const SAMPLE = Symbol.for('holdline.sampleBlockedLoop');

/** In plain JavaScript, so that it is the same in source and build. The inspector session exists only while beats
 *  are missing. */
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
  #unattributed = 0;

  /** Code that keeps the loop for `blockedMs` or longer blocks it. `onFault`: the watchdog has failed, and nothing
   *  is found any more. */
  constructor(clock: Clock, blockedMs: number, onFault: (error: unknown) => void) {
    this.#clock = clock;
    this.#blockedMs = blockedMs;
    this.#onFault = onFault;
  }

  /** Also covers work that blocks in its first step, before it returns. */
  async run<T>(scope: AgentScope, work: () => Promise<T>): Promise<T> {
    if (this.#running === 0) this.#start();
    this.#running += 1;
    try {
      return await inScope(scope, work);
    } finally {
      this.#running -= 1;
      // The work may end in the step that blocked, and then no beat comes in between.
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

  /** Called in the middle of any code of this thread. */
  #sample(): void {
    const scope = currentScope();
    // Between two steps of an agent's code there is no scope for a moment: such a sample must not acquit the agent.
    if (scope === undefined) this.#unattributed += 1;
    else if (scope === this.#suspect) this.#samples += 1;
    else this.#suspectOnly(scope);
  }

  #suspectOnly(scope: AgentScope): void {
    this.#suspect = scope;
    this.#samples = 1;
    this.#unattributed = 0;
  }

  #judge(): void {
    const suspect = this.#suspect;
    const samples = this.#samples;
    const isMostOfThem = samples > this.#unattributed;
    this.#suspect = undefined;
    this.#samples = 0;
    this.#unattributed = 0;
    if (samples >= SAMPLES_BLOCKED && isMostOfThem) suspect?.onBlocked(Math.round(this.#clock.mono() - this.#beatAt));
  }
}
