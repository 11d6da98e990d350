// Encodes and decodes ranges of offsets in a frame: those that a write supersedes, and those that are lost.
import { SUPERSEDES_MAX } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';

/** Writes each range as its distance from the end of the previous one and its length: small numbers take few bytes. */
export function encodeRanges(into: ByteWriter, ranges: readonly (readonly [number, number])[]): void {
  into.varint(ranges.length);
  let after = 0;
  for (const [from, to] of ranges) {
    into.varint(from - after);
    into.varint(to - from);
    after = to + 1;
  }
}

/** @throws BrokerError corrupt */
export function decodeRanges(reader: ByteReader): [number, number][] {
  let after = 0;
  return Array.from({ length: reader.count(SUPERSEDES_MAX) }, () => {
    const from = after + reader.varint();
    const to = from + reader.varint();
    if (to >= Number.MAX_SAFE_INTEGER) throw new BrokerError('corrupt', 'an offset is too large');
    after = to + 1;
    return [from, to];
  });
}
