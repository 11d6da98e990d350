// The formats of the log on disk: the bytes of every kind of frame, and folders that a build of each format wrote.
import { readFile, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../../../src/broker/log/format/byte-writer.ts';
import { decodeSegmentHead, FORMAT_VERSION } from '../../../../src/broker/log/format/batch-codec.ts';
import {
  decodeFrame,
  encodeFrame,
  FRAME_HEAD_BYTES,
  type Frame,
  type SizedRecord,
} from '../../../../src/broker/log/format/frame-codec.ts';
import { append, CHAT, major, QUEUE, readLines } from '../../contract/subject.ts';
import { withText } from '../frame-text.ts';
import { crashCopy, openLog, segmentPath, temporaryFolder } from '../opened-log.ts';
import { readHistory, restoreGolden, writeAfterCheckpoint, writeBeforeCheckpoint } from './golden-folder.ts';

/** Each kind of frame with the bytes of its body. They never change: a folder holds such frames for years. */
const BODIES: { readonly [K in Frame<never>['kind']]: readonly [Extract<Frame<SizedRecord>, { kind: K }>, string] } = {
  append: [
    {
      kind: 'append',
      writes: [
        {
          ...{ topic: CHAT, epoch: 'e1', created: 2, first: 3, takeFence: true, fence: { fence: 4, seq: 5 } },
          ...{ supersedes: [[6, 7]], ttlMs: 300, expiresAt: 301, priority: 'low' },
          records: [
            { major: true, data: 'aé', size: 3 },
            { major: false, data: 'b', size: 1 },
          ],
        },
      ],
    },
    '0101 08636861742f6f6e65 026531 7f 02 03 0405 01 0601 ac02 ad02 02 02 07 61c3a9 02 62',
  ],
  ended: [
    { kind: 'ended', topic: CHAT, epoch: 'e1', reason: 'expired', at: 300 },
    '02 08636861742f6f6e65 026531 01 ac02',
  ],
  group: [{ kind: 'group', group: 'g', pattern: 'request/*/*' }, '03 0167 0b726571756573742f2a2f2a'],
  consumed: [
    { kind: 'consumed', group: 'g', topic: QUEUE, epoch: 'e1', next: 9 },
    '04 0167 11726571756573742f6167656e742f6f6e65 026531 09',
  ],
  delivered: [
    { kind: 'delivered', group: 'g', topic: QUEUE, epoch: 'e1', offset: 9, attempts: 3, notBefore: 300 },
    '06 0167 11726571756573742f6167656e742f6f6e65 026531 09 03 ac02',
  ],
  moved: [
    {
      ...{ kind: 'moved', from: 300, topic: CHAT, epoch: 'e1' },
      runs: [
        { first: 2, records: [{ major: true, data: 'aé', size: 3 }] },
        {
          first: 9,
          records: [
            { major: false, data: 'b', size: 1 },
            { major: true, data: '', size: 0 },
          ],
        },
      ],
    },
    '05 ac02 08636861742f6f6e65 026531 02 02 01 07 61c3a9 09 02 02 62 01',
  ],
  damaged: [
    {
      kind: 'damaged',
      topic: CHAT,
      epoch: 'e1',
      ranges: [
        [2, 2],
        [5, 9],
      ],
    },
    '07 08636861742f6f6e65 026531 02 0200 0204',
  ],
};

/** A write with the flag `life`, which a build before it refuses. */
const LIVES: readonly [Frame<SizedRecord>, string] = [
  {
    kind: 'append',
    writes: [
      {
        ...{ topic: CHAT, epoch: 'e1', created: 2, first: 0, ttlMs: 300, expiresAt: 301, records: [] },
        life: { mode: 'reader', bornAt: 300, endsAt: 301 },
      },
    ],
  },
  '0101 08636861742f6f6e65 026531 b101 02 00 ac02 ad02 01 ac02 ad02 00',
];

/** A write with the flag `notBefore`. */
const DELAYED: readonly [Frame<SizedRecord>, string] = [
  {
    kind: 'append',
    writes: [{ topic: CHAT, epoch: 'e1', created: 2, first: 0, notBefore: 300, records: [] }],
  },
  '0101 08636861742f6f6e65 026531 8104 02 00 ac02 00',
];

describe('every kind of frame', () => {
  test.each([...Object.values(BODIES), LIVES, DELAYED])('has the bytes that the format gives it: %j', (frame, body) => {
    const writer = new ByteWriter(16);
    const length = encodeFrame(writer, frame);
    const bytes = Buffer.from(writer.view());
    expect(bytes.toString('hex', FRAME_HEAD_BYTES)).toBe(body.replaceAll(' ', ''));
    expect(withText(bytes, decodeFrame(bytes, FRAME_HEAD_BYTES, length))).toEqual(frame);
  });
});

async function goldenFolder(format: number): Promise<string> {
  const folder = await temporaryFolder();
  await restoreGolden(format, folder);
  return folder;
}

describe('a folder of format', () => {
  test.each([1, 2])('%i reads as if this build had written it, also after another start', async (format) => {
    const { broker: fresh, reopen: reopenFresh } = await openLog();
    await writeBeforeCheckpoint(fresh);
    const freshAgain = await reopenFresh();
    await writeAfterCheckpoint(freshAgain);
    const expected = await readHistory(freshAgain);
    const folder = await goldenFolder(format);
    const { broker, reopen } = await openLog({ folder });
    expect(await readHistory(broker)).toEqual(expected);
    await append(broker, CHAT, major('more'));
    const again = await reopen();
    expect((await readLines(again, CHAT)).at(-1)).toBe('6M:more');
  });

  test('1 gets its next batch in a segment of the present format', async () => {
    const folder = await goldenFolder(1);
    // After a clean end, a start continues the last segment if it is of the present format.
    const { reopen } = await openLog({ folder });
    await append(await reopen(), CHAT, major('more'));
    const heads = [1, 2].map(async (id) => decodeSegmentHead(await readFile(segmentPath(folder, id)))?.version);
    expect(await Promise.all(heads)).toEqual([1, FORMAT_VERSION]);
  });

  test('3 is refused, and stays as it is', async () => {
    const folder = await goldenFolder(2);
    const bytes = await readFile(segmentPath(folder));
    bytes.writeUInt32LE(FORMAT_VERSION + 1, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
    await writeFile(segmentPath(folder), bytes);
    const copy = await crashCopy(folder);
    await expect(openLog({ folder: copy })).rejects.toThrow(/^invalid-config: the log .* it has format 3/);
    expect(await readFile(segmentPath(copy))).toEqual(bytes);
  });
});
