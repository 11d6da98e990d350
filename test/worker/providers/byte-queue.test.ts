// The bytes of a response between its socket and its reader: all of them, in order, bounded, and then the end.
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { ByteQueue, WAITING_BYTES_MAX, type ByteSource } from '../../../src/worker/providers/upstream/byte-queue.ts';

/** A source that brings pieces until it is paused. */
class Pieces implements ByteSource {
  readonly queue: ByteQueue;
  isPaused = false;
  readonly #pieces: Buffer[];

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = [...pieces];
    this.queue = new ByteQueue(this);
  }

  get left(): number {
    return this.#pieces.length;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  /** Brings at most this many pieces, then the end where none is left. */
  bring(count: number, error?: Error): void {
    for (let brought = 0; brought < count && !this.isPaused && this.#pieces.length > 0; brought += 1)
      this.queue.push(this.#pieces.shift() ?? Buffer.alloc(0));
    if (this.#pieces.length === 0) this.queue.end(error);
  }
}

const pieces = fc.array(
  fc.uint8Array({ minLength: 1, maxLength: 20_000 }).map((bytes) => Buffer.from(bytes)),
  {
    maxLength: 40,
  },
);

it('gives every byte once and in order, however the two sides alternate, and then the end', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.array(fc.nat(5), { minLength: 1 }), fc.boolean(), async (all, counts, isBroken) => {
      let turn = 0;
      const count = (): number => counts[(turn += 1) % counts.length] ?? 0;
      const source = new Pieces(all);
      const error = isBroken ? new Error('cut') : undefined;
      const read: Uint8Array[] = [];
      let end: unknown = 'open';
      while (end === 'open') {
        source.bring(count(), error);
        const next = source.queue.read();
        source.bring(count() + 1, error);
        const bytes = await next.catch((reason: unknown) => reason as Error);
        if (bytes instanceof Uint8Array) read.push(bytes);
        else end = bytes;
      }
      expect(Buffer.concat(read)).toEqual(Buffer.concat(all));
      expect(end).toBe(error);
    }),
  );
});

it('stops a source that nobody reads, and lets it continue', async () => {
  const half = Buffer.alloc(WAITING_BYTES_MAX / 2 + 1);
  const source = new Pieces([half, half, half, half]);
  source.bring(4);
  expect(source.isPaused).toBe(true);
  expect(source.left).toBe(2);
  expect((await source.queue.read())?.length).toBe(2 * half.length);
  expect(source.isPaused).toBe(false);
});

it('keeps nothing for a reader that has left', async () => {
  const source = new Pieces([Buffer.from('a'), Buffer.from('b')]);
  source.bring(1);
  const left = new Error('left');
  source.queue.cancel(left);
  await expect(source.queue.read()).rejects.toBe(left);
  source.bring(1);
  await expect(source.queue.read()).rejects.toBe(left);
});
