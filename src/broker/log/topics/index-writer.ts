// Sends the changes of one index to the index thread, which all indexes of this process share. A thread for each index
// would cost 40 ms at each opening, and a process rarely has more than one.
import { Worker } from 'node:worker_threads';
import { BrokerError } from '../../errors.ts';
import type { IndexChanges } from './index-changes.ts';

/** `apply` writes changes, `close` ends the use of a folder. `attach`, `slice` and `drop` act on the copy of the index
 *  (index-copier.js), and `load` makes an index from one. */
type IndexAct = 'apply' | 'attach' | 'slice' | 'drop' | 'load' | 'close';

/** `owner` undefined: the changes are the claim of an owner. `from`: the path of the copy that is loaded. */
export interface IndexRequest {
  readonly id: number;
  readonly folder: string;
  readonly act: IndexAct;
  readonly pages: readonly Uint8Array[];
  readonly owner: Uint8Array | undefined;
  readonly from: string;
}

export interface CopyState {
  /** The copy has every change that the index has. */
  readonly isCurrent: boolean;
  /** There is no copy, or it is much larger than the index. */
  readonly isDue: boolean;
  /** Why the copy was given up since the last one was whole. */
  readonly lost: string | undefined;
}

export interface IndexAnswer {
  readonly id: number;
  readonly isDone?: boolean;
  /** The index has another owner, and nothing was changed. */
  readonly isTakenOver?: boolean;
  readonly copy?: CopyState | undefined;
  readonly error?: { readonly message: string; readonly code: unknown };
}

interface Waiting {
  readonly resolve: (answer: IndexAnswer) => void;
  readonly reject: (error: Error) => void;
}

const NO_COPY: CopyState = { isCurrent: false, isDue: true, lost: undefined };

export class IndexWriter {
  readonly #folder: string;
  #thread: IndexThread | undefined;
  #copy = NO_COPY;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The copy after the last call that has ended. */
  get copy(): CopyState {
    return this.#copy;
  }

  /** Applies all changes or none; durable when it resolves. The changes must stay as they are until then. False: the
   *  index has another owner, and nothing was changed.
   *  @throws BrokerError failed: the index thread has ended; the system's error, for example if there is no room */
  async apply(changes: IndexChanges, owner: Uint8Array | undefined): Promise<boolean> {
    return (await this.#send({ act: 'apply', pages: changes.views(), owner })).isDone === true;
  }

  /** Acts on the copy of the index for its owner. For `slice`: whether that was the last one. Undefined: the index has
   *  another owner, and nothing was changed. @throws as `apply` */
  async onCopy(act: 'attach' | 'slice' | 'drop', owner: Uint8Array | undefined): Promise<boolean | undefined> {
    const { isDone, isTakenOver } = await this.#send({ act, owner });
    return isTakenOver === true ? undefined : isDone;
  }

  /** Makes the index of this empty folder from the copy. False: the copy is not whole. @throws as `apply` */
  async load(from: string): Promise<boolean> {
    return (await this.#send({ act: 'load', from })).isDone === true;
  }

  async close(): Promise<void> {
    if (this.#thread !== undefined) await this.#send({ act: 'close' });
  }

  async #send(request: Pick<IndexRequest, 'act'> & Partial<IndexRequest>): Promise<IndexAnswer> {
    this.#thread ??= IndexThread.ofProcess();
    const answer = await this.#thread.send({ folder: this.#folder, pages: [], owner: undefined, from: '', ...request });
    this.#copy = answer.copy ?? this.#copy;
    return answer;
  }
}

class IndexThread {
  static #ofProcess: IndexThread | undefined;
  readonly #worker = new Worker(new URL('./index-thread.js', import.meta.url), { execArgv: [], env: {} });
  /** At most two requests for each open index: a checkpoint, a time or a close waits for the one before it, and so does
   *  each slice of its copy. */
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

  send(request: Omit<IndexRequest, 'id'>): Promise<IndexAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#count += 1;
      this.#waiting.set(this.#count, { resolve, reject });
      // The process must not end while a checkpoint is being written.
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id: this.#count });
    });
  }

  #receive(answer: IndexAnswer): void {
    const { id, error } = answer;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
  }

  #end(cause: unknown): void {
    this.#ended ??= new BrokerError('failed', 'the thread that writes the index has ended', { cause });
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
