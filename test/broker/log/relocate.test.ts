// What a moved frame does to its topic when it is durable, and again in a replay: it moves exactly the records that are
// still where they were.
import { systemClock } from '../../../src/base/clock.ts';
import { expect, onTestFinished, test } from 'vitest';
import { nodeLogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { Segments } from '../../../src/broker/log/disk/segments.ts';
import type { FrameLocation, FrameWrite, StoredRecord } from '../../../src/broker/log/format/frame-codec.ts';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { LostChanges } from '../../../src/broker/log/recovery/lost-changes.ts';
import { Replay } from '../../../src/broker/log/recovery/replay.ts';
import { TopicIndex } from '../../../src/broker/log/topics/topic-index.ts';
import { TopicTable } from '../../../src/broker/log/topics/topic-table.ts';
import { CHAT } from '../contract/subject.ts';
import { temporaryFolder } from './opened-log.ts';

const OLD = 1;
const NEW = 2;
const MINOR: StoredRecord = { major: false, start: 0, size: 10 };

class Log {
  readonly segments: Segments;
  readonly table: TopicTable;
  readonly #replay: Replay;

  private constructor(folder: string, index: TopicIndex) {
    this.segments = new Segments(nodeLogFiles, folder, 1);
    for (const id of [OLD, NEW]) this.segments.add(id, true);
    this.table = new TopicTable(index, this.segments, systemClock, DEFAULT_LIMITS);
    const nothing = (): undefined => undefined;
    const damage = { declared: nothing, forget: nothing, found: nothing, partLost: nothing };
    this.#replay = new Replay(this.table, damage, new LostChanges(this.table, damage), nothing);
  }

  static async open(): Promise<Log> {
    const folder = await temporaryFolder();
    const index = new TopicIndex(folder, () => undefined);
    onTestFinished(() => index.close());
    return new Log(folder, index);
  }

  append(epoch: string, location: FrameLocation, write: Partial<FrameWrite<StoredRecord>> & { first: number }): void {
    const writes = [{ topic: CHAT, epoch, records: [MINOR], ...write }];
    this.#replay.apply({ kind: 'append', writes }, location);
  }

  end(epoch: string): void {
    this.#replay.apply({ kind: 'ended', topic: CHAT, epoch, reason: 'removed', at: 1 }, at(OLD, 0));
  }

  move(epoch: string, first: number, count: number): void {
    const records = Array.from({ length: count }, () => MINOR);
    this.#replay.apply({ kind: 'moved', from: OLD, topic: CHAT, epoch, runs: [{ first, records }] }, at(NEW, 40));
  }

  /** The segment of each record, or 0 for a hole; then what is live in the two segments. */
  state(count: number): { readonly places: number[]; readonly live: readonly (number | undefined)[] } {
    const chunk = this.table.get(CHAT).chunkOf(0);
    return {
      places: Array.from({ length: count }, (_, slot) => (chunk.holeBy(slot) >= 0 ? 0 : chunk.segment(slot))),
      live: [OLD, NEW].map((id) => this.segments.figures(id)?.live),
    };
  }
}

function at(segment: number, position: number): FrameLocation {
  return { segment, position, length: 100 };
}

test('a moved frame moves the records of its segment, and the segments count them', async () => {
  const log = await Log.open();
  log.append('e1', at(OLD, 40), { created: 0, first: 0, records: [MINOR, MINOR] });
  expect(log.state(2)).toEqual({ places: [OLD, OLD], live: [22, 0] });
  log.move('e1', 0, 2);
  expect(log.state(2)).toEqual({ places: [NEW, NEW], live: [0, 22] });
  log.move('e1', 0, 2);
  expect(log.state(2)).toEqual({ places: [NEW, NEW], live: [0, 22] });
});

test('a moved frame moves nothing of a topic that was removed and made again meanwhile', async () => {
  const log = await Log.open();
  log.append('e1', at(OLD, 40), { created: 0, first: 0 });
  log.end('e1');
  log.move('e1', 0, 1);
  expect(log.segments.figures(NEW)?.live).toBe(0);
  log.append('e2', at(OLD, 200), { created: 0, first: 0 });
  log.move('e1', 0, 1);
  expect(log.state(1)).toEqual({ places: [OLD], live: [11, 0] });
});

test('a moved frame brings no superseded record back', async () => {
  const log = await Log.open();
  log.append('e1', at(OLD, 40), { created: 0, first: 0, records: [MINOR, MINOR] });
  log.append('e1', at(OLD, 200), { first: 2, supersedes: [[1, 1]] });
  log.move('e1', 0, 3);
  expect(log.state(3)).toEqual({ places: [NEW, 0, NEW], live: [0, 22] });
});
