// The bytes of the log: what is written is read back the same, and any other bytes are refused as corrupt.
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { parseLiteTopicName } from '../../../src/broker/lite-topic.ts';
import {
  BATCH_HEAD_BYTES,
  decodeBatchHead,
  decodeSegmentHead,
  encodeBatchHead,
  encodeSegmentHead,
} from '../../../src/broker/log/format/batch-codec.ts';
import { ByteWriter } from '../../../src/broker/log/format/byte-writer.ts';
import { frameChecksum } from '../../../src/broker/log/format/frame-checksum.ts';
import {
  decodeFrame,
  encodeFrame,
  encodeOneWrite,
  sliceFrame,
  type Frame,
  type SizedRecord,
} from '../../../src/broker/log/format/frame-codec.ts';
import { CHUNK_RECORDS, RecordChunk, type ChunkImage } from '../../../src/broker/log/topics/record-chunk.ts';
import { decodeTopicEntry, encodeTopicEntry, type TopicEntry } from '../../../src/broker/log/topics/topic-codec.ts';
import { withText } from './frame-text.ts';

const offset = fc.nat({ max: 2 ** 50 });
const topic = fc
  .stringMatching(/^[a-z0-9:.-]{1,20}$/)
  .filter((text) => text !== '.' && text !== '..')
  .map((text) => parseLiteTopicName(`chat/${text}`));
const epoch = fc.stringMatching(/^[a-z0-9]{1,20}$/);
const wellFormed = fc.string({ unit: 'grapheme', maxLength: 80 }).map((text) => text.toWellFormed());
const record = fc
  .record({ major: fc.boolean(), data: wellFormed })
  .map((one) => ({ ...one, size: Buffer.byteLength(one.data) }));
const ranges = fc
  .array(fc.tuple(fc.nat({ max: 1000 }), fc.nat({ max: 1000 })), { minLength: 1, maxLength: 20 })
  .map((steps) => {
    let after = 0;
    return steps.map(([gap, length]): [number, number] => {
      const from = after + gap;
      after = from + length + 1;
      return [from, from + length];
    });
  });
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const write = fc.record({
  topic,
  epoch,
  created: optional(fc.nat()),
  first: offset,
  takeFence: optional(fc.constant(true as const)),
  fence: optional(fc.record({ fence: offset, seq: offset })),
  supersedes: optional(ranges),
  ttlMs: optional(offset),
  expiresAt: optional(offset),
  priority: optional(fc.constantFrom('high', 'normal', 'low')),
  life: optional(
    fc.record({
      mode: fc.constantFrom('idle', 'reader', 'absolute'),
      bornAt: offset,
      endsAt: optional(fc.integer({ min: 1 })),
    }),
  ),
  beside: optional(offset),
  notBefore: optional(offset),
  records: fc.array(record, { maxLength: 10 }),
});
const frame: fc.Arbitrary<Frame<SizedRecord>> = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), writes: fc.array(write, { minLength: 1, maxLength: 8 }) }),
  fc.record({
    kind: fc.constant('ended' as const),
    topic,
    epoch,
    reason: fc.constantFrom('expired', 'removed'),
    at: offset,
  }),
  fc.record({ kind: fc.constant('group' as const), group: epoch, pattern: fc.constant('request/*/*') }),
  fc.record({ kind: fc.constant('consumed' as const), group: epoch, topic, epoch, next: offset }),
  fc.record({
    ...{ kind: fc.constant('delivered' as const), group: epoch, topic, epoch },
    ...{ offset, attempts: offset, notBefore: offset },
  }),
  fc.record({
    kind: fc.constant('moved' as const),
    from: fc.nat(),
    topic,
    epoch,
    runs: fc.array(fc.record({ first: offset, records: fc.array(record, { maxLength: 10 }) }), { maxLength: 4 }),
  }),
);

function encoded(...frames: readonly Frame<SizedRecord>[]): Buffer {
  const writer = new ByteWriter(16);
  for (const one of frames) encodeFrame(writer, one);
  return Buffer.from(writer.view());
}

/** The value, or `corrupt`. Any other error fails the test. */
function attempt<T>(decode: () => T): T | 'corrupt' {
  try {
    return decode();
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return 'corrupt';
    throw error;
  }
}

describe('a frame', () => {
  test('is read back as it was written, at any byte of a buffer', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 5 }), (frames) => {
        const bytes = encoded(...frames);
        let at = 0;
        for (const one of frames) {
          const slice = sliceFrame(bytes, at);
          expect(withText(bytes, decodeFrame(bytes, slice.bodyStart, slice.end))).toEqual(one);
          at = slice.end;
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 300 },
    );
  });

  test('does not match its checksum when one byte is changed', () => {
    fc.assert(
      fc.property(frame, fc.nat(), fc.integer({ min: 1, max: 255 }), (one, place, change) => {
        const bytes = encoded(one);
        const at = place % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ change;
        expect(attempt(() => sliceFrame(bytes, 0))).toBe('corrupt');
      }),
      { numRuns: 500 },
    );
  });

  test('has the same bytes from the encoder for the append of one write', () => {
    fc.assert(
      fc.property(write, (one) => {
        const alone = new ByteWriter(16);
        encodeOneWrite(alone, one);
        expect(alone.view()).toEqual(encoded({ kind: 'append', writes: [one] }));
      }),
    );
  });

  test('has the checksum of zlib for a body of any length', () => {
    const bytes = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7919) % 251));
    for (let length = 0; length < 300; length++) {
      const from = length % 7;
      expect(frameChecksum(bytes, from, from + length)).toBe(crc32(bytes.subarray(from, from + length)));
    }
    expect(frameChecksum(bytes, 1, 2000)).toBe(crc32(bytes.subarray(1, 2000)));
  });

  test('is corrupt when it is cut short', () => {
    fc.assert(
      fc.property(frame, fc.nat(), (one, place) => {
        const bytes = encoded(one);
        expect(attempt(() => sliceFrame(bytes.subarray(0, place % bytes.length), 0))).toBe('corrupt');
      }),
    );
  });

  test('is a frame or corrupt for any bytes, and nothing outside of them is read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 50 }), (body, before) => {
        const bytes = Buffer.concat([Buffer.alloc(before, 0x7f), body, Buffer.alloc(50, 0x7f)]);
        const decoded = attempt(() => decodeFrame(bytes, before, before + body.length));
        if (decoded === 'corrupt' || (decoded.kind !== 'append' && decoded.kind !== 'moved')) return;
        const parts = decoded.kind === 'append' ? decoded.writes : decoded.runs;
        for (const { start, size } of parts.flatMap((one) => one.records)) {
          expect(start >= before && start + size <= before + body.length).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('is a frame or corrupt when its body was changed in any way', () => {
    fc.assert(
      fc.property(frame, fc.nat(), fc.nat({ max: 255 }), (one, place, value) => {
        const bytes = encoded(one);
        bytes[8 + (place % (bytes.length - 8))] = value;
        attempt(() => decodeFrame(bytes, 8, bytes.length));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('heads', () => {
  const head = fc.record({ byteLength: fc.nat(), sequence: offset, time: offset, frames: fc.nat() });

  test('of a batch are read back with their own salt only', () => {
    fc.assert(
      fc.property(head, fc.nat(), fc.nat(), (one, salt, other) => {
        const bytes = Buffer.alloc(BATCH_HEAD_BYTES);
        encodeBatchHead(bytes, one, salt);
        expect(decodeBatchHead(bytes, 0, salt)).toEqual(one);
        if (other !== salt) expect(decodeBatchHead(bytes, 0, other)).toBeUndefined();
      }),
    );
  });

  test('of a segment are read back, refused with an error for another version, and undefined for other bytes', () => {
    const bytes = encodeSegmentHead({ salt: 7, id: 3, firstSequence: 9 });
    expect(decodeSegmentHead(bytes)).toEqual({ version: 2, salt: 7, id: 3, firstSequence: 9 });
    for (let at = 0; at < 36; at++) {
      const broken = Buffer.from(bytes);
      broken[at] = (broken[at] ?? 0) ^ 1;
      expect(decodeSegmentHead(broken)).toBeUndefined();
    }
  });
});

describe('the index', () => {
  test('reads a chunk of records and holes back as it was', () => {
    const slot = fc.oneof(
      fc.record({
        segment: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        position: fc.nat(),
        length: fc.nat(),
        size: fc.nat({ max: 2 ** 20 }),
        major: fc.boolean(),
      }),
      fc.record({ by: offset, repeat: fc.integer({ min: 1, max: 60 }) }),
    );
    fc.assert(
      fc.property(fc.array(slot, { maxLength: 40 }), (slots) => {
        const chunk = new RecordChunk(2);
        for (const one of slots) {
          if ('by' in one) {
            for (let i = 0; i < one.repeat && chunk.count < CHUNK_RECORDS; i++) {
              chunk.push(1, 1, 1, 0);
              chunk.supersede(chunk.count - 1, one.by);
            }
          } else if (chunk.count < CHUNK_RECORDS)
            chunk.push(one.segment, one.position, one.length, one.size * 2 + (one.major ? 1 : 0));
        }
        const writer = new ByteWriter(64);
        chunk.image().encode(writer);
        const read = RecordChunk.decode(2, Buffer.from(writer.view()));
        expect(read.count).toBe(chunk.count);
        expect(read.hasMajors).toBe(chunk.hasMajors);
        for (let i = 0; i < chunk.count; i++) {
          expect([read.holeBy(i), read.location(i), read.size(i), read.isMajor(i)]).toEqual([
            chunk.holeBy(i),
            chunk.location(i),
            chunk.size(i),
            chunk.isMajor(i),
          ]);
        }
      }),
    );
  });

  test('writes a chunk as it was when the chunk changes meanwhile', () => {
    const encoded = (chunk: ChunkImage): string => {
      const writer = new ByteWriter(64);
      chunk.encode(writer);
      return writer.view().toString('hex');
    };
    const change = fc.record({
      kind: fc.constantFrom('push', 'push', 'supersede', 'image'),
      slot: fc.nat(CHUNK_RECORDS),
      by: fc.nat(2 ** 40),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const chunk = new RecordChunk(2);
        const images: { image: ChunkImage; was: string }[] = [];
        for (const { kind, slot, by } of changes) {
          if (kind === 'push' && chunk.count < CHUNK_RECORDS) chunk.push(1 + slot, by, 9, by % 7);
          else if (kind === 'supersede' && chunk.count > 0) chunk.supersede(slot % chunk.count, by);
          else if (kind === 'image') {
            const image = chunk.image();
            images.push({ image, was: encoded(image) });
          }
        }
        for (const { image, was } of images) expect(encoded(image)).toBe(was);
      }),
    );
  });

  test('decodes any bytes as a chunk or topic, or refuses them as corrupt', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        attempt(() => RecordChunk.decode(0, Buffer.from(bytes)));
        attempt(() => decodeTopicEntry(Buffer.from(bytes), (base) => base));
      }),
      { numRuns: 2000 },
    );
  });

  test('reads a topic back as it was', () => {
    const state = {
      epoch: 'e',
      next: 9,
      lastMajor: -1,
      fence: 4,
      lastSeq: 2,
      lastAnswers: [{ epoch: 'e', first: 7, next: 9 }],
    };
    const version = {
      state,
      base: 'e',
      era: 0,
      damages: 0,
      ttlMs: 5,
      expiresAt: 99,
      life: undefined,
      priority: 'low' as const,
      beside: 7,
      notBefore: undefined,
    };
    const life = { mode: 'reader' as const, bornAt: 70, endsAt: 99 };
    const tombstone = { reason: 'removed' as const, epoch: 'd', next: 3, at: 5 };
    const empty: TopicEntry = {
      ...{ id: 0, indexedAt: 0, bytes: 0, version: undefined },
      ...{ tombstone: undefined, consumed: undefined, delivered: undefined },
    };
    for (const entry of [
      { ...empty, id: 4, indexedAt: 99, bytes: 12, version, consumed: new Map([['g', 3]]) },
      { ...empty, id: 4, version, delivered: new Map([['g', { offset: 3, attempts: 2, notBefore: 99 }]]) },
      {
        ...empty,
        id: 4,
        version: { ...version, ttlMs: undefined, expiresAt: undefined, beside: 0 },
      },
      ...[life, { mode: 'absolute' as const, bornAt: 70, endsAt: undefined }].map((one) => ({
        ...{ ...empty, id: 4, indexedAt: 99, bytes: 12 },
        version: { ...version, life: one },
      })),
      { ...empty, id: 4, version: { ...version, damages: 300 }, tombstone },
      { ...empty, id: 4, version: { ...version, beside: 7, notBefore: 2 ** 40 } },
      { ...empty, indexedAt: 7, tombstone },
    ]) {
      const writer = new ByteWriter(64);
      encodeTopicEntry(writer, entry);
      expect(decodeTopicEntry(Buffer.from(writer.view()), (base) => base)).toEqual(entry);
    }
  });
});
