// The changes of a checkpoint reach the index whole and in their order, however many and however large they are.
import { expect, test } from 'vitest';
import { IndexChanges } from '../../../src/broker/log/topics/index-changes.ts';
import { TopicIndex } from '../../../src/broker/log/topics/topic-index.ts';
import { temporaryFolder } from './opened-log.ts';

const PAGE_BYTES = 1024;
/** Some are larger than what a page has left, and some larger than a page. */
const SIZES = [0, 100, PAGE_BYTES / 2, PAGE_BYTES + 1, 3 * PAGE_BYTES, 700];
const CHANGES = 200;

function keyOf(i: number): Buffer {
  return Buffer.from(`k${i}`, 'latin1');
}

test('IndexChanges keeps every change until a clear, far beyond the memory that it keeps for the next time', async () => {
  const index = new TopicIndex(await temporaryFolder(), () => undefined);
  const changes = new IndexChanges(PAGE_BYTES);
  for (let round = 0; round < 2; round += 1) {
    const valueOf = (i: number): Buffer => Buffer.alloc(SIZES[i % SIZES.length] ?? 0, (i + round) % 251);
    for (let i = 0; i < CHANGES; i += 1) changes.put('state', keyOf(i), (into) => into.bytes(valueOf(i)));
    expect(changes.count).toBe(CHANGES);
    await index.apply(changes);
    changes.clear();
    for (let i = 0; i < CHANGES; i += 1) expect(index.state(`k${i}`)?.equals(valueOf(i)), `value ${i}`).toBe(true);
  }
  await index.close();
});

test('a later change of a key counts', async () => {
  const index = new TopicIndex(await temporaryFolder(), () => undefined);
  const changes = new IndexChanges();
  changes.put('state', keyOf(1), (into) => into.varint(1));
  changes.put('state', keyOf(2), (into) => into.varint(1));
  changes.remove('state', keyOf(1));
  changes.put('state', keyOf(2), (into) => into.varint(2));
  await index.apply(changes);
  expect([index.state('k1'), index.state('k2')?.readUInt8(0)]).toEqual([undefined, 2]);
  await index.close();
});
