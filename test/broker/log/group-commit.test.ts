// The group commit with a device that fails while another part of the engine waits for it.
import { expect, test } from 'vitest';
import type { BrokerError } from '../../../src/broker/errors.ts';
import { GroupCommit, type CommitParts } from '../../../src/broker/log/commit/group-commit.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const GROUP = { kind: 'group', group: 'g', pattern: 'chat/*' } as const;
const LIMITS = { commitIntervalMs: 10, commitBytes: 1024, pendingBytesMax: 1024 };

/** A group commit whose writes wait until `written`. */
function setUp() {
  const clock = new ManualClock();
  const state: { written?: () => void; failed: BrokerError[]; drained: boolean } = { failed: [], drained: false };
  const writer = {
    write: () => new Promise((resolve) => (state.written = () => resolve({ segment: 1, position: 0 }))),
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
  await clock.advance(1);
  drain();
  commit.failNow(new Error('EIO'));
  await eventually(() => state.drained);
});
