// When the group commit begins a batch, and what it does if the device fails while another part of the engine waits.
import { describe, expect, test } from 'vitest';
import type { BrokerError } from '../../../src/broker/errors.ts';
import { GroupCommit, type CommitParts } from '../../../src/broker/log/commit/group-commit.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const GROUP = { kind: 'group', group: 'g', pattern: 'chat/*' } as const;
const LIMITS = { commitIntervalMs: 10, commitPauseMs: 1, commitFrames: 20, commitBytes: 1024, pendingBytesMax: 1024 };

/** A group commit whose writes wait until `written`. */
function setUp() {
  const clock = new ManualClock();
  const state: { written?: () => void; failed: BrokerError[]; drained: boolean; frames: number[] } = {
    ...{ failed: [], drained: false },
    /** Of each batch that was begun. */
    frames: [],
  };
  const writer = {
    write: (_: Buffer, frames: number) => {
      state.frames.push(frames);
      return new Promise((resolve) => (state.written = () => resolve({ segment: 1, position: 0 })));
    },
    sync: () => Promise.resolve(),
  };
  const parts = { writer, clock, time: clock, index: { isOwned: true }, recent: { add: () => undefined } };
  const commit = new GroupCommit(
    parts as unknown as CommitParts,
    { fsync: { mode: 'always' }, limits: LIMITS },
    { holdsCommits: false, batchCommitted: () => undefined, deviceFull: () => undefined, failed: () => undefined },
  );
  const add = (): void =>
    commit.add(GROUP, { committed: () => undefined, failed: (error) => void state.failed.push(error) });
  const drain = (): void => void commit.drained().then(() => (state.drained = true));
  return { clock, state, commit, add, drain };
}

test('a drain ends when the device fails before the frame is written', async () => {
  const { state, commit, add, drain } = setUp();
  add();
  drain();
  commit.failNow(new Error('EIO'));
  expect(state.failed).toMatchObject([{ code: 'failed' }]);
  await eventually(() => state.drained);
});

test('a drain ends when the device fails between two batches', async () => {
  const { clock, state, commit, add, drain } = setUp();
  add();
  await eventually(() => state.written !== undefined);
  add();
  state.written?.();
  await clock.advance(0.5);
  drain();
  commit.failNow(new Error('EIO'));
  await eventually(() => state.drained);
});

test('a part of the engine that follows a failed commit receives its error', async () => {
  const { state, commit, add } = setUp();
  add();
  await eventually(() => state.written !== undefined);
  commit.failNow(new Error('EIO'));
  const followed: string[] = [];
  commit.follow({ committed: () => followed.push('committed'), failed: ({ code }) => followed.push(code) });
  state.written?.();
  await eventually(() => followed.length > 0);
  expect(followed).toEqual(['failed']);
});

describe('a batch', () => {
  /** The first batch has just been written: what comes now has to wait. */
  async function busy() {
    const rig = setUp();
    rig.add();
    await eventually(() => rig.state.written !== undefined);
    rig.state.written?.();
    await rig.clock.advance(0);
    rig.state.frames.length = 0;
    return rig;
  }

  test('begins no sooner than its interval while appends keep coming', async () => {
    const { clock, state, add } = await busy();
    for (let i = 0; i < 19; i++) {
      add();
      await clock.advance(0.5);
    }
    expect(state.frames).toEqual([]);
    await clock.advance(0.5);
    expect(state.frames).toEqual([19]);
  });

  test('begins before its interval is over when no append came for a while', async () => {
    const { clock, state, add } = await busy();
    add();
    add();
    await clock.advance(0.9);
    expect(state.frames).toEqual([]);
    add();
    await clock.advance(0.9);
    expect(state.frames).toEqual([]);
    await clock.advance(0.2);
    expect(state.frames).toEqual([3]);
  });

  test('begins at once when so many appends wait that the flush costs little for each', async () => {
    const { clock, state, add } = await busy();
    for (let i = 0; i < 19; i++) add();
    await clock.advance(0);
    expect(state.frames).toEqual([]);
    add();
    await clock.advance(0);
    expect(state.frames).toEqual([20]);
  });

  test('leaves no timer behind when nothing waits any more', async () => {
    const { clock, state, add } = await busy();
    for (let i = 0; i < 20; i++) add();
    await clock.advance(0);
    state.written?.();
    await clock.advance(20);
    expect([state.frames, clock.timers]).toEqual([[20], 0]);
  });
});
