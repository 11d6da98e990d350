// Sends the changes of one index to the index thread, which all indexes of this process share. A thread for each index
// would cost 40 ms at each opening, and a process rarely has more than one.
import { Worker } from 'node:worker_threads';
import { BrokerError } from '../../errors.ts';
import type { IndexChanges } from './index-changes.ts';

/** `pages` undefined closes the index of the folder. `owner` undefined: the changes are the claim of an owner. */
export interface IndexRequest {
  readonly id: number;
  readonly folder: string;
  readonly pages: readonly Uint8Array[] | undefined;
  readonly owner: Uint8Array | undefined;
}

export interface IndexAnswer {
  readonly id: number;
  readonly isOwner?: boolean;
  readonly error?: { readonly message: string; readonly code: unknown };
}

interface Waiting {
  readonly resolve: (isOwner: boolean) => void;
  readonly reject: (error: Error) => void;
}

export class IndexWriter {
  readonly #folder: string;
  #thread: IndexThread | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Applies all changes or none; durable when it resolves. The changes must stay as they are until then. False: the
   *  index has another owner, and nothing was changed.
   *  @throws BrokerError failed: the index thread has ended; the system's error, for example if there is no room */
  apply(changes: IndexChanges, owner: Uint8Array | undefined): Promise<boolean> {
    this.#thread ??= IndexThread.ofProcess();
    return this.#thread.send(this.#folder, changes.views(), owner);
  }

  async close(): Promise<void> {
    await this.#thread?.send(this.#folder, undefined, undefined);
  }
}

class IndexThread {
  static #ofProcess: IndexThread | undefined;
  readonly #worker = new Worker(new URL('./index-thread.js', import.meta.url), { execArgv: [], env: {} });
  /** At most one request for each open index: a checkpoint, a time or a close waits for the one before it. */
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #ended: BrokerError | undefined;

  /** The thread of this process; a new one if it has ended. */
  static ofProcess(): IndexThread {
    if (IndexThread.#ofProcess?.hasEnded !== false) IndexThread.#ofProcess = new IndexThread();
    return IndexThread.#ofProcess;
  }

  private constructor() {
    this.#worker.on('message', (answer: IndexAnswer) => this.#receive(answer));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(undefined));
    this.#worker.unref();
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  send(folder: string, pages: readonly Uint8Array[] | undefined, owner: Uint8Array | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#count += 1;
      this.#waiting.set(this.#count, { resolve, reject });
      // The process must not end while a checkpoint is being written.
      this.#worker.ref();
      const request: IndexRequest = { id: this.#count, folder, pages, owner };
      this.#worker.postMessage(request);
    });
  }

  #receive({ id, isOwner, error }: IndexAnswer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (error === undefined) waiting?.resolve(isOwner === true);
    else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
  }

  #end(cause: unknown): void {
    this.#ended ??= new BrokerError('failed', 'the thread that writes the index has ended', { cause });
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
