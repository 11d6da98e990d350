// A close that fails still releases the folder, and reports the first error.
import { expect, onTestFinished, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { runEvery } from '../../../src/broker/log/disk/run-every.ts';
import { eventually, turn } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { append, CHAT, major } from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { openLog, RESERVE_BYTES, RESERVE_STEP_BYTES, temporaryFolder } from './opened-log.ts';

/** A log whose close is expected to fail. */
async function openFaulty(): Promise<{ folder: string; files: FaultyFiles; clock: ManualClock; broker: BrokerEngine }> {
  const [folder, files, clock] = [await temporaryFolder(), new FaultyFiles(), new ManualClock()];
  onTestFinished(() => files.release());
  const limits = { commitIntervalMs: 0, reserveBytes: RESERVE_BYTES, reserveStepBytes: RESERVE_STEP_BYTES };
  const options = { folder, files, clock, limits, newEpoch: randomEpoch, place: 'here', onFatal: () => undefined };
  return { folder, files, clock, broker: await openLogBroker({ ...options, fsync: { mode: 'always' } }) };
}

test('a folder can be opened again when a file failed to close', async () => {
  const { folder, files, broker } = await openFaulty();
  await append(broker, CHAT, major('a'));
  files.failClose = 'reserve';
  await expect(broker.close()).rejects.toThrow('EIO');
  const again = await openLog({ folder });
  expect(await again.broker.read(CHAT, 'earliest')).toMatchObject({ kind: 'batch', next: 1 });
});

test('a folder can be opened again when its reserve could not be written during the close', async () => {
  const { folder, files, clock, broker } = await openFaulty();
  await append(broker, CHAT, major('a'));
  files.room = 0;
  await expect(append(broker, CHAT, major('b'))).rejects.toThrow('disk-full');
  await broker.remove(CHAT);
  files.room = Infinity;
  await clock.advance(60_000);
  files.hold('write');
  const reached = files.reached();
  expect(broker.health().state).toBe('full');
  await reached;
  const closed = expect(broker.close()).rejects.toThrow('failed: the reserve file cannot be written');
  // The log's file is closed before the reserve.
  await eventually(() => files.closed.some((name) => name.endsWith('.seg')));
  await turn();
  files.failWrite = 'EIO';
  files.release();
  await closed;
  const again = await openLog({ folder });
  expect(await again.broker.read(CHAT, 'earliest')).toMatchObject({ kind: 'reset', reason: 'removed' });
});

test('a failed start reports its own error, and its folder can be opened again, when a file fails to close', async () => {
  const { folder, files, broker } = await openFaulty();
  await append(broker, CHAT, major('a'));
  await broker.close();
  files.failClose = 'reserve';
  files.failSync = 'EINVAL';
  await expect(openLog({ folder, files })).rejects.toThrow('EINVAL');
  files.failClose = undefined;
  files.failSync = undefined;
  const again = await openLog({ folder });
  expect(await again.broker.read(CHAT, 'earliest')).toMatchObject({ kind: 'batch', next: 1 });
});

test('every step runs when an earlier one fails, and the first error is thrown', async () => {
  const ran: string[] = [];
  const step = (name: string) => async (): Promise<void> => {
    ran.push(name);
    if (name !== 'b') throw new Error(name);
  };
  await expect(runEvery(['a', 'b', 'c'].map(step))).rejects.toThrow('a');
  expect(ran).toEqual(['a', 'b', 'c']);
});
