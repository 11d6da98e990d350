// The bytes of a response between the socket, which brings them at its own pace, and one reader, who asks for them. On
// the path of every token: a read is one promise, and bytes that came meanwhile are one read.

/** Bytes that may wait for the reader. Above it the socket is not read, so a fast server waits instead of filling the
 *  memory. */
export const WAITING_BYTES_MAX = 64 * 1024;

/** What brings the bytes. */
export interface ByteSource {
  pause(): void;
  resume(): void;
}

interface Waiter {
  readonly resolve: (bytes: Buffer | undefined) => void;
  readonly reject: (error: Error) => void;
}

export class ByteQueue {
  readonly #source: ByteSource;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isPaused = false;
  #end: 'open' | 'clean' | Error = 'open';
  #waiter: Waiter | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Adds bytes, which must not change afterwards. */
  push(bytes: Buffer): void {
    if (this.#end !== 'open') return;
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve(bytes);
      return;
    }
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes <= WAITING_BYTES_MAX || this.#isPaused) return;
    this.#isPaused = true;
    this.#source.pause();
  }

  /** Ends the bytes, cleanly or with the error that broke them. The bytes before it remain available. Idempotent. */
  end(error?: Error): void {
    if (this.#end !== 'open') return;
    this.#end = error ?? 'clean';
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    this.#waiter = undefined;
    if (error === undefined) waiter.resolve(undefined);
    else waiter.reject(error);
  }

  /** Nobody reads any more. */
  cancel(error: Error): void {
    this.#chunks = [];
    this.#bytes = 0;
    this.end(error);
  }

  /** All bytes that wait, or the next that come; undefined at a clean end. One read at a time. @throws the error that
   *  broke the bytes */
  read(): Promise<Buffer | undefined> {
    const [first] = this.#chunks;
    if (first !== undefined) return Promise.resolve(this.#takeAll(first));
    if (this.#end === 'clean') return Promise.resolve(undefined);
    if (this.#end !== 'open') return Promise.reject(this.#end);
    return new Promise(this.#wait);
  }

  readonly #wait = (resolve: Waiter['resolve'], reject: Waiter['reject']): void => {
    this.#waiter = { resolve, reject };
  };

  #takeAll(first: Buffer): Buffer {
    const bytes = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#source.resume();
    }
    return bytes;
  }
}
