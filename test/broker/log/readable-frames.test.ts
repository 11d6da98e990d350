// Which frames of a damaged batch are kept, and how the salt of a segment is found out without its head.
import { describe, expect, test } from 'vitest';
import { TurnSlice } from '../../../src/base/turn-slice.ts';
import { BATCH_HEAD_BYTES, encodeBatchHead } from '../../../src/broker/log/format/batch-codec.ts';
import { ByteWriter } from '../../../src/broker/log/format/byte-writer.ts';
import { encodeFrame, FRAME_HEAD_BYTES } from '../../../src/broker/log/format/frame-codec.ts';
import { readableFrames } from '../../../src/broker/log/recovery/readable-frames.ts';
import { saltOf } from '../../../src/broker/log/recovery/segment-start.ts';
import { countTurns } from '../../support/count-turns.ts';

/** The bytes of one frame for each group, and where each begins. */
function batchOf(...groups: string[]): { bytes: Buffer; starts: number[] } {
  const into = new ByteWriter(1024);
  const starts: number[] = [];
  for (const group of groups) {
    starts.push(into.length);
    encodeFrame(into, { kind: 'group', group, pattern: 'request/*/*' });
  }
  return { bytes: Buffer.from(into.view()), starts };
}

/** The groups of the frames that are kept, and the lengths of what cannot be read. */
async function kept(bytes: Buffer, count: number, sliceItems = 1024): Promise<(string | number)[]> {
  const slice = new TurnSlice({ mono: () => 0 }, { sliceMs: 1, sliceItems });
  const parts = await readableFrames(bytes, count, slice);
  return parts.map(({ frame, start, end }) => (frame?.kind === 'group' ? frame.group : end - start));
}

describe('the readable frames of a batch', () => {
  test('are all others when the body of one is damaged', async () => {
    const { bytes, starts } = batchOf('one', 'two', 'three', 'four');
    for (const [i, name] of ['one', 'two', 'three', 'four'].entries()) {
      const damaged = Buffer.from(bytes);
      const at = (starts[i] ?? 0) + FRAME_HEAD_BYTES + 3;
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const names = ['one', 'two', 'three', 'four'].map((other, j) =>
        other === name ? (starts[j + 1] ?? bytes.length) - (starts[j] ?? 0) : other,
      );
      expect(await kept(damaged, 4)).toEqual(names);
    }
  });

  test('are found in slices of a turn', async () => {
    const groups = ['one', 'two', 'three', 'four', 'five', 'six'];
    const counted = countTurns();
    expect(await kept(batchOf(...groups).bytes, groups.length, 2)).toEqual(groups);
    expect(counted.turns).toBeGreaterThanOrEqual(2);
  });

  test('are only the ones before it when the length of one is damaged', async () => {
    const { bytes, starts } = batchOf('one', 'two', 'three');
    for (let bit = 0; bit < 32; bit++) {
      const damaged = Buffer.from(bytes);
      const at = (starts[1] ?? 0) + Math.floor(bit / 8);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (bit % 8));
      expect(await kept(damaged, 3)).toEqual(['one', bytes.length - (starts[1] ?? 0)]);
    }
  });

  test('are none in the text of a damaged frame, whatever that text looks like', async () => {
    const forged = batchOf('forged').bytes;
    const { bytes, starts } = batchOf('one', forged.toString('latin1'), 'three');
    const inside = bytes.indexOf(forged);
    expect(inside).toBeGreaterThan(0);
    const damaged = Buffer.from(bytes);
    // The damaged length ends where the forged frame begins.
    damaged.writeUInt32LE(inside - (starts[1] ?? 0) - FRAME_HEAD_BYTES, starts[1]);
    expect(await kept(damaged, 3)).toEqual(['one', bytes.length - (starts[1] ?? 0)]);
  });
});

test('the salt of a segment is found out from the head of one batch', () => {
  for (const salt of [0, 1, 0xffffffff, 0x80000000, 0x1234abcd, 987654321]) {
    const head = Buffer.alloc(BATCH_HEAD_BYTES);
    encodeBatchHead(head, { byteLength: 77, sequence: 12, time: 1_700_000_000_000, frames: 3 }, salt);
    expect(saltOf(head)).toBe(salt);
  }
});
