// The contract on malformed and oversized appends, and on a broker that was closed.
import { describe, expect, test } from 'vitest';
import {
  APPEND_BYTES_MAX,
  APPEND_RECORDS_MAX,
  APPEND_WRITES_MAX,
  RECORD_BYTES_MAX,
  SUPERSEDES_MAX,
  TTL_MS_MAX,
  TTL_MS_MIN,
} from '../../../src/broker/broker.ts';
import type { Priority, TopicWrite, TtlMode } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { CHAT, QUEUE, append, infoOf, minor, outcome, readLines, topicName, write } from './subject.ts';
import type { OpenSubject } from './subject.ts';

const R = minor('r');
const FENCED = { expect: { epoch: 'e' } };
const invalid: readonly (readonly [what: string, writes: readonly TopicWrite[]])[] = [
  ['no write at all', []],
  ['the same topic twice', [write(CHAT, R), write(CHAT, R)]],
  ['topics with different last segments', [write(CHAT, R), write(topicName('request/agent/two'), R)]],
  ['a lone high surrogate', [write(CHAT, minor('a\ud834'))]],
  ['a lone low surrogate', [write(CHAT, minor('ok', '\udd1eb'))]],
  ['surrogates the wrong way round', [write(CHAT, minor('\udd1e\ud834'))]],
  ['a fence taken without a record', [write(CHAT, [], { takeFence: true })]],
  ['a fence taken under a fence', [write(CHAT, R, { ...FENCED, takeFence: true, fence: { fence: 0, seq: 1 } })]],
  ['a fence without an epoch', [write(CHAT, R, { fence: { fence: 0, seq: 1 } })]],
  ...[-1, 0.5, Number.NaN].map(
    (fence) => [`fence ${fence}`, [write(CHAT, R, { ...FENCED, fence: { fence, seq: 1 } })]] as const,
  ),
  ...[0, -1, 1.5, Number.NaN].map(
    (seq) => [`seq ${seq}`, [write(CHAT, R, { ...FENCED, fence: { fence: 0, seq } })]] as const,
  ),
  ...[0, 1, TTL_MS_MIN - 1, -1, 1000.5, Number.NaN, Infinity, 2 ** 53, TTL_MS_MAX + 1].map(
    (ttlMs) => [`ttlMs ${ttlMs}`, [write(CHAT, R, { ttlMs })]] as const,
  ),
  ...[0, 1, TTL_MS_MIN - 1, -1, 1000.5, Number.NaN, Infinity, 2 ** 53, TTL_MS_MAX + 1].map(
    (hardMaxMs) => [`hardMaxMs ${hardMaxMs}`, [write(CHAT, R, { hardMaxMs })]] as const,
  ),
  ['a mode of a TTL that there is not', [write(CHAT, R, { ttlMs: 60_000, ttlMode: 'never' as TtlMode })]],
  ['a mode of a TTL without a TTL', [write(CHAT, R, { ttlMode: 'absolute' })]],
  ...[-2, 0.5, Number.NaN, Infinity].map(
    (offset) => [`ifUnchanged at ${offset}`, [write(CHAT, R, { ifUnchanged: { epoch: 'e', offset } })]] as const,
  ),
  ['a priority that there is not', [write(CHAT, R, { priority: 'urgent' as Priority })]],
  ['superseding without a record', [write(CHAT, [], { supersedes: [[0, 0]] })]],
  ['a range that ends before it starts', [write(CHAT, R, { supersedes: [[2, 1]] })]],
  [
    'ranges that overlap',
    [
      write(CHAT, R, {
        supersedes: [
          [0, 2],
          [2, 3],
        ],
      }),
    ],
  ],
  [
    'ranges out of order',
    [
      write(CHAT, R, {
        supersedes: [
          [4, 5],
          [1, 2],
        ],
      }),
    ],
  ],
  ['a negative range', [write(CHAT, R, { supersedes: [[-1, 0]] })]],
  ['a range of fractions', [write(CHAT, R, { supersedes: [[0.5, 1]] })]],
  ['a range without an end', [write(CHAT, R, { supersedes: [[0, Infinity]] })]],
];

const tooLarge: readonly (readonly [what: string, writes: readonly TopicWrite[]])[] = [
  [
    'more writes than the limit',
    Array.from({ length: APPEND_WRITES_MAX + 1 }, (_, i) => write(topicName(`t${i}/one`), R)),
  ],
  ['more records than the limit', [write(CHAT, minor(...Array.from({ length: APPEND_RECORDS_MAX + 1 }, () => 'x')))]],
  [
    'more records over all writes',
    [CHAT, QUEUE].map((topic) => write(topic, minor(...Array.from({ length: APPEND_RECORDS_MAX / 2 + 1 }, () => 'x')))),
  ],
  ['a record above its limit', [write(CHAT, minor('x'.repeat(RECORD_BYTES_MAX + 1)))]],
  ['a record above its limit in UTF-8 only', [write(CHAT, minor('€'.repeat(Math.ceil((RECORD_BYTES_MAX + 1) / 3))))]],
  [
    'more bytes than the limit',
    [
      write(
        CHAT,
        minor(...Array.from({ length: APPEND_BYTES_MAX / RECORD_BYTES_MAX }, () => 'x'.repeat(RECORD_BYTES_MAX)), 'y'),
      ),
    ],
  ],
  [
    'more ranges than the limit',
    [write(CHAT, R, { supersedes: Array.from({ length: SUPERSEDES_MAX + 1 }, (_, i) => [i, i] as const) })],
  ],
];

export function inputContract(open: OpenSubject): void {
  describe.each([
    ...invalid.map((one) => [...one, 'invalid-append'] as const),
    ...tooLarge.map((one) => [...one, 'too-large'] as const),
  ])('an append with %s', (_what, writes, code) => {
    test(`is refused as ${code}, and nothing is written`, async () => {
      const { broker } = await open();
      expect(await outcome(broker.append(writes))).toBe(code);
      expect((await broker.describe(writes.map(({ topic }) => topic))).every((info) => info === undefined)).toBe(true);
    });
  });

  describe('an append at its limit', () => {
    test('may have as many writes and records as the limits say', async () => {
      const { broker } = await open();
      const share = APPEND_RECORDS_MAX / APPEND_WRITES_MAX;
      const writes = Array.from({ length: APPEND_WRITES_MAX }, (_, i) =>
        write(topicName(`t${i}/one`), minor(...Array.from({ length: share }, (_x, j) => `${i}.${j}`))),
      );
      expect((await broker.append(writes)).map(({ next }) => next)).toEqual(writes.map(() => share));
      expect((await readLines(broker, topicName('t7/one'))).at(-1)).toBe(`${share - 1}m:7.${share - 1}`);
    });

    test('may have as many bytes as the limits say', async () => {
      const { broker } = await open();
      const wide = Math.floor(RECORD_BYTES_MAX / 3);
      const record = '€'.repeat(wide) + 'x'.repeat(RECORD_BYTES_MAX - 3 * wide);
      expect(Buffer.byteLength(record)).toBe(RECORD_BYTES_MAX);
      await append(broker, CHAT, minor(...Array.from({ length: APPEND_BYTES_MAX / RECORD_BYTES_MAX }, () => record)));
      expect((await infoOf(broker, CHAT)).bytes).toBe(APPEND_BYTES_MAX);
      const last = await broker.read(CHAT, 'end', { direction: 'backward', maxRecords: 1 });
      expect(last.kind === 'batch' && last.items[0]?.kind === 'record' && last.items[0].data === record).toBe(true);
    });

    test('may supersede as many ranges as the limit says', async () => {
      const { broker } = await open();
      for (let i = 0; i < SUPERSEDES_MAX / APPEND_RECORDS_MAX; i += 1)
        await append(broker, CHAT, minor(...Array.from({ length: APPEND_RECORDS_MAX }, () => 'x')));
      await append(broker, CHAT, minor('y'), {
        supersedes: Array.from({ length: SUPERSEDES_MAX }, (_, i) => [i, i] as const),
      });
      expect(await readLines(broker, CHAT)).toEqual([
        `0-${SUPERSEDES_MAX - 1}>${SUPERSEDES_MAX}`,
        `${SUPERSEDES_MAX}m:y`,
      ]);
    });
  });

  describe('a broker that was closed', () => {
    test('refuses everything as closed, and may be closed again', async () => {
      const { broker } = await open();
      await append(broker, CHAT, R);
      await broker.close();
      await broker.close();
      const pattern = parseTopicPattern('chat/*');
      const { signal } = new AbortController();
      const next = (source: AsyncIterable<unknown>): Promise<unknown> => source[Symbol.asyncIterator]().next();
      expect(await outcome(append(broker, CHAT, R))).toBe('closed');
      expect(await outcome(broker.read(CHAT, 'earliest'))).toBe('closed');
      expect(await outcome(broker.describe([CHAT]))).toBe('closed');
      expect(await outcome(broker.remove(CHAT))).toBe('closed');
      expect(await outcome(broker.list(pattern, { limit: 1 }))).toBe('closed');
      expect(await outcome(next(broker.tail(CHAT, { epoch: 'e', offset: 0 }, { signal })))).toBe('closed');
      expect(await outcome(next(broker.consume('g', pattern, { credit: 1, visibilityMs: 1000, signal })))).toBe(
        'closed',
      );
    });

    test('reports in its health what an acknowledged record survives, while it is open', async () => {
      const { broker } = await open();
      expect(broker.health()).toMatchObject({ state: 'ready' });
      expect(broker.health().durability).toMatch(/^.+$/);
    });
  });
}
