// The contract of src/broker/blobs.ts.
import { describe, expect, test } from 'vitest';
import {
  BLOB_BYTES_MAX,
  BLOB_CHUNK_BYTES,
  nextBlobLength,
  type BlobOwner,
  type BlobStore,
  type BlobWriter,
} from '../../../src/broker/blobs.ts';
import { outcome, topicName, type OpenSubject } from './subject.ts';

const ANN: BlobOwner = { topic: topicName('chat/ann:one'), generation: 'g1' };
const BOB: BlobOwner = { topic: topicName('chat/bob:one'), generation: 'g1' };
const HEAD = '{"name":"a €.txt"}';

/** Bytes of every value, which are not UTF-8, and differ from chunk to chunk. */
export function someBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 10)) & 0xff));
}

async function writeAll(writer: BlobWriter, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += BLOB_CHUNK_BYTES)
    await writer.write(bytes.subarray(at, at + BLOB_CHUNK_BYTES));
}

async function store(blobs: BlobStore, owner: BlobOwner, id: string, bytes: Uint8Array): Promise<void> {
  const writer = await blobs.begin(owner, id, 60_000);
  await writeAll(writer, bytes);
  await writer.seal(HEAD);
}

/** The bytes and the head of a blob; undefined if it cannot be opened. */
async function readAll(blobs: BlobStore, owner: BlobOwner, id: string): Promise<[string, Buffer] | undefined> {
  const blob = await blobs.open(owner, id);
  if (blob === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for (let i = 0; i * BLOB_CHUNK_BYTES < blob.bytes; i += 1) chunks.push((await blob.chunk(i)) ?? new Uint8Array());
  await blob.close();
  return [blob.head, Buffer.concat(chunks)];
}

async function ownersOf(blobs: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await blobs.owners(1, after);
    found.push(...page.owners.map(({ topic, generation }) => `${topic} ${generation}`));
    if (page.after === undefined) return found.sort();
    after = page.after;
  }
}

export function blobsContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('blobs', () => {
    test.each([0, 1, BLOB_CHUNK_BYTES - 1, BLOB_CHUNK_BYTES, 3 * BLOB_CHUNK_BYTES + 5])(
      'a blob of %d bytes is read back exactly, with its head',
      async (length) => {
        const { blobs } = (await open()).broker;
        const bytes = someBytes(length);
        await store(blobs, ANN, 'a', bytes);
        const [head, read] = (await readAll(blobs, ANN, 'a')) ?? [];
        expect([head, read?.equals(bytes)]).toEqual([HEAD, true]);
      },
    );

    test('text is read back exactly, also where a chunk ends inside of a character', async () => {
      const { blobs } = (await open()).broker;
      const bytes = Buffer.from('a' + '€'.repeat(BLOB_CHUNK_BYTES / 2));
      await store(blobs, ANN, 'a', bytes);
      expect((await readAll(blobs, ANN, 'a'))?.[1].equals(bytes)).toBe(true);
    });

    test('a chunk belongs to the engine once it is written: the caller may reuse the array', async () => {
      const { blobs } = (await open()).broker;
      const writer = await blobs.begin(ANN, 'a');
      const array = Buffer.alloc(BLOB_CHUNK_BYTES, 1);
      await writer.write(array);
      array.fill(2);
      await writer.seal('');
      expect((await readAll(blobs, ANN, 'a'))?.[1].every((byte) => byte === 1)).toBe(true);
    });

    test('a blob cannot be opened before it is sealed, and not at all when it is discarded', async () => {
      const { blobs } = (await open()).broker;
      const writer = await blobs.begin(ANN, 'a');
      await writer.write(someBytes(10));
      expect(await blobs.open(ANN, 'a')).toBeUndefined();
      expect(await blobs.list(ANN)).toEqual([{ id: 'a', isSealed: false }]);
      await writer.discard();
      expect([await blobs.open(ANN, 'a'), await blobs.list(ANN), await ownersOf(blobs)]).toEqual([undefined, [], []]);
    });

    test('discarding a sealed blob changes nothing', async () => {
      const { blobs } = (await open()).broker;
      const writer = await blobs.begin(ANN, 'a');
      await writer.seal(HEAD);
      await writer.discard();
      expect(await blobs.list(ANN)).toEqual([{ id: 'a', isSealed: true }]);
    });

    test('an id is taken once, whether its blob is sealed or not', async () => {
      const { blobs } = (await open()).broker;
      const writer = await blobs.begin(ANN, 'a');
      expect(await outcome(blobs.begin(ANN, 'a'))).toBe('conflict');
      await writer.seal(HEAD);
      expect(await outcome(blobs.begin(ANN, 'a'))).toBe('conflict');
      expect((await readAll(blobs, ANN, 'a'))?.[0]).toBe(HEAD);
    });

    test('owners, generations and ids do not share blobs', async () => {
      const { blobs } = (await open()).broker;
      await store(blobs, ANN, 'a', someBytes(3));
      for (const owner of [BOB, { ...ANN, generation: 'g2' }]) expect(await readAll(blobs, owner, 'a')).toBeUndefined();
      expect(await readAll(blobs, ANN, 'b')).toBeUndefined();
    });

    test('a removed blob is gone, for a reader that has it open as well or as a whole', async () => {
      const { blobs } = (await open()).broker;
      await store(blobs, ANN, 'a', someBytes(5));
      await store(blobs, ANN, 'b', someBytes(6));
      const reader = await blobs.open(ANN, 'a');
      await blobs.remove(ANN, 'a');
      expect([undefined, 5]).toContain((await reader?.chunk(0))?.length);
      await reader?.close();
      expect([await blobs.open(ANN, 'a'), await blobs.list(ANN)]).toEqual([undefined, [{ id: 'b', isSealed: true }]]);
      await blobs.remove(ANN, 'a');
      await blobs.removeAll(BOB);
      expect(await ownersOf(blobs)).toEqual([`${ANN.topic} g1`]);
    });

    test('removing all blobs of an owner ends what is being written, and leaves other owners alone', async () => {
      const { blobs } = (await open()).broker;
      await store(blobs, ANN, 'a', someBytes(5));
      await store(blobs, BOB, 'a', someBytes(5));
      const writer = await blobs.begin(ANN, 'b');
      await writer.write(someBytes(9));
      await blobs.removeAll(ANN);
      expect(await outcome(writer.seal(HEAD))).toBe('epoch-changed');
      await writer.discard();
      expect([await blobs.list(ANN), await ownersOf(blobs)]).toEqual([[], [`${BOB.topic} g1`]]);
    });

    test('the list of owners has every owner once, in pages', async () => {
      const { blobs } = (await open()).broker;
      const topics = Array.from({ length: 9 }, (_, i) => topicName(`chat/default:digest:c${i}`));
      for (const topic of topics) await store(blobs, { topic, generation: 'x' }, 'a', someBytes(1));
      expect(await ownersOf(blobs)).toEqual(topics.map((topic) => `${topic} x`));
      const { owners } = await blobs.owners(1000);
      expect(owners.every(({ changedAt }) => changedAt > 0)).toBe(true);
    });

    test('names, chunks and heads outside of their limits are refused', async () => {
      const { blobs } = (await open()).broker;
      for (const id of ['', '../a', 'a.part', 'x'.repeat(65)]) {
        expect(await outcome(blobs.begin(ANN, id))).toBe('invalid-append');
      }
      expect(await outcome(blobs.begin({ ...ANN, generation: 'A/b' }, 'a'))).toBe('invalid-append');
      const writer = await blobs.begin(ANN, 'a');
      for (const length of [0, BLOB_CHUNK_BYTES + 1])
        expect(await outcome(writer.write(Buffer.alloc(length)))).toBe('invalid-append');
      await writer.write(someBytes(3));
      expect(await outcome(writer.write(someBytes(3)))).toBe('invalid-append');
      expect(await outcome(writer.seal('x'.repeat(8 * 1024 + 1)))).toBe('invalid-append');
      await writer.discard();
      expect(() => nextBlobLength(BLOB_BYTES_MAX, new Uint8Array(1))).toThrow('too-large');
    });

    test('a longer time for the blobs of an owner changes nothing that is read', async () => {
      const { blobs } = (await open()).broker;
      await store(blobs, ANN, 'a', someBytes(3));
      await blobs.keep(ANN, 120_000);
      await blobs.keep(ANN, undefined);
      await blobs.keep(BOB, 1);
      expect((await readAll(blobs, ANN, 'a'))?.[1]).toEqual(someBytes(3));
    });

    test.skipIf(!reopens)('sealed blobs are there after a close and a reopening', async () => {
      const { broker, reopen } = await open();
      await store(broker.blobs, ANN, 'a', someBytes(BLOB_CHUNK_BYTES + 1));
      await (await broker.blobs.begin(ANN, 'b')).write(someBytes(4));
      const { blobs } = await reopen();
      expect((await readAll(blobs, ANN, 'a'))?.[1].equals(someBytes(BLOB_CHUNK_BYTES + 1))).toBe(true);
      expect(await blobs.open(ANN, 'b')).toBeUndefined();
      await blobs.removeAll(ANN);
      expect(await ownersOf(blobs)).toEqual([]);
    });
  });
}
