// A checkpoint's values stay valid until the index has them, however many there are.
import { expect, test } from 'vitest';
import { ValuePages } from '../../../src/broker/log/checkpoint/value-pages.ts';

const MIB = 1024 * 1024;
/** Some are larger than what a page has left, and some larger than a page. */
const SIZES = [100, MIB / 2, MIB + 1, 3 * MIB, 700_000];

test('ValuePages keeps every value until a clear, far beyond the memory that it keeps for the next time', () => {
  const pages = new ValuePages();
  for (let round = 0; round < 2; round += 1) {
    const values: Buffer[] = [];
    const bytesOf = (i: number): Buffer => Buffer.alloc(SIZES[i % SIZES.length] ?? 0, (i + round) % 251);
    for (let i = 0; i < 30; i += 1) {
      values.push(pages.value((into) => into.bytes(bytesOf(i))));
    }
    expect(values.every((value, i) => value.equals(bytesOf(i)))).toBe(true);
    pages.clear();
  }
});
