// The threads that run the module of one agent. A handler that computes blocks the event loop of its thread, and not
// that of the worker with its leases, streams and other runs. A thread that ends takes its own runs with it and no
// others, and the next run starts a new one. [docs/adr/0011]
import { Worker } from 'node:worker_threads';
import { delay, type Clock, type Timer } from '../../base/clock.ts';
import { AgentError } from '../../worker/agent-error.ts';
import type { AgentChat, AgentHandler } from '../agent-handler.ts';
import type { AgentWriter } from '../agent-writer.ts';
import { ThreadedRun } from './threaded-run.ts';
import { type FromThread, type ThreadData, type ToThread } from './thread-protocol.ts';

/** Threads of one agent. */
export const THREADS_MAX = 64;
/** ms for a thread to acknowledge an abort; then it is terminated. */
export const THREAD_ANSWER_MS_MAX = 5_000;
/** ms for handlers to end after their runs were handed over. */
const CLOSE_MS_MAX = 2_000;
/** ms for a thread to load the module: it may wait forever at its top level. */
export const LOAD_MS_MAX = 30_000;
/** Mebibytes of JavaScript objects in one thread. Above it the thread ends, and not the process. */
const THREAD_HEAP_MB_MAX = 512;

export interface ThreadsDeps {
  readonly clock: Clock;
  /** A thread has ended by itself. */
  readonly onLost: (why: { readonly err?: unknown; readonly code?: number; readonly runs: number }) => void;
}

export class AgentThreads {
  readonly #module: string;
  readonly #threadsMax: number;
  readonly #deps: ThreadsDeps;
  readonly #threads = new Set<AgentThread>();

  constructor(module: URL, threadsMax: number, deps: ThreadsDeps) {
    this.#module = module.href;
    this.#threadsMax = threadsMax;
    this.#deps = deps;
  }

  /** Resolves when a first thread has loaded the module. @throws any error of its loading */
  async start(): Promise<void> {
    try {
      await this.#pick().ready;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** The handler that a worker calls in place of the module's own function. */
  readonly handler: AgentHandler = (chat, writer, signal) => this.#pick().answer(chat, writer, signal);

  async close(): Promise<void> {
    const threads = [...this.#threads];
    const closed = new AbortController();
    await Promise.race([
      Promise.all(threads.map((thread) => thread.idle())),
      delay(this.#deps.clock, CLOSE_MS_MAX, closed.signal),
    ]);
    closed.abort();
    await Promise.all(threads.map((thread) => thread.end()));
  }

  /** The thread with the fewest runs; a new one where every thread has a run and another one is allowed. */
  #pick(): AgentThread {
    const [least] = [...this.#threads].sort((a, b) => a.runs - b.runs);
    if (least !== undefined && (least.runs === 0 || this.#threads.size >= this.#threadsMax)) return least;
    const thread = new AgentThread(this.#module, this.#deps, () => this.#threads.delete(thread));
    this.#threads.add(thread);
    return thread;
  }
}

class LoadTimeoutError extends Error {
  override readonly name = 'LoadTimeoutError';
}

class AgentThread {
  readonly #worker: Worker;
  readonly #deps: ThreadsDeps;
  readonly #onGone: () => void;
  readonly #runs = new Map<number, ThreadedRun>();
  /** Ends the thread at the limit for loading. */
  readonly #loading: Timer;
  /** Resolves when the module is loaded. */
  readonly ready: Promise<void>;
  #settleReady: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #runCount = 0;
  #isGone = false;
  #isEnding = false;
  #error: unknown;
  #onIdle: (() => void) | undefined;

  constructor(module: string, deps: ThreadsDeps, onGone: () => void) {
    this.#deps = deps;
    this.#onGone = onGone;
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    // A caller may await it or not; `onLost` reports the loss of a thread.
    this.ready.catch(() => undefined);
    const workerData: ThreadData = { module };
    this.#worker = new Worker(new URL('./thread-main.js', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB_MAX },
    });
    this.#loading = deps.clock.after(LOAD_MS_MAX, () => this.#giveUp());
    this.#worker.on('message', (message: FromThread) => this.#receive(message));
    this.#worker.on('error', (error: unknown) => (this.#error = error));
    this.#worker.on('exit', (code) => this.#lose(code));
  }

  get runs(): number {
    return this.#runs.size;
  }

  async answer(chat: AgentChat, writer: AgentWriter, signal: AbortSignal): Promise<void> {
    this.#runCount += 1;
    const id = this.#runCount;
    const run = new ThreadedRun(id, chat, writer, (message) => this.#send(message));
    this.#runs.set(id, run);
    // Stays registered after the run has ended for the worker: the handler may still be running, and is aborted then.
    signal.addEventListener('abort', () => this.#stop(id, run), { once: true });
    run.start();
    if (signal.aborted) this.#stop(id, run);
    await run.ended;
  }

  /** Resolves when no handler runs any more. */
  idle(): Promise<void> {
    return this.#runs.size === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve));
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#worker.terminate();
  }

  /** The run is already over for the worker; only the thread may still execute it. */
  #stop(id: number, run: ThreadedRun): void {
    if (!this.#runs.has(id)) return;
    run.abort();
    const late = this.#deps.clock.after(THREAD_ANSWER_MS_MAX, () => {
      if (!this.#runs.has(id)) return;
      this.#leave();
      void this.#worker.terminate();
    });
    run.onAborting = () => late.cancel();
  }

  #send(message: ToThread): void {
    if (!this.#isGone) this.#worker.postMessage(message);
  }

  #receive(message: FromThread): void {
    if (message.type === 'ready') {
      // Until here the thread keeps the process alive, because `start` waits for it.
      this.#worker.unref();
      this.#loading.cancel();
      this.#settleReady?.resolve();
      return;
    }
    const run = this.#runs.get(message.run);
    if (message.type === 'event') run?.replay(message.event, message.chars);
    else if (message.type === 'call') void run?.call(message.call, message.data);
    else if (message.type === 'stray') run?.fail(message.error);
    else if (message.type === 'aborting') run?.onAborting?.();
    else this.#end(message.run, message);
  }

  #end(id: number, { used, wait, error }: Extract<FromThread, { type: 'end' }>): void {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    run?.onAborting?.();
    if (error === undefined) run?.complete(used, wait);
    else run?.fail(error);
    if (this.#runs.size === 0) this.#onIdle?.();
  }

  /** Its runs end with it: their prompts wait in a thread that may never read them. */
  #giveUp(): void {
    this.#error = new LoadTimeoutError(`it has not finished after ${LOAD_MS_MAX / 1000} s`);
    this.#leave();
    void this.#worker.terminate();
  }

  /** Accepts no more runs. */
  #leave(): void {
    this.#isGone = true;
    this.#onGone();
  }

  #lose(code: number): void {
    this.#loading.cancel();
    this.#leave();
    this.#settleReady?.reject(this.#error ?? new Error(`its thread ended with code ${code}`));
    const runs = [...this.#runs.values()];
    this.#runs.clear();
    if (!this.#isEnding)
      this.#deps.onLost({ ...(this.#error === undefined ? { code } : { err: this.#error }), runs: runs.length });
    for (const run of runs)
      run.lose(new AgentError('agent-thread-lost', 'the thread of this agent has ended', { retryable: true }));
    this.#onIdle?.();
  }
}
