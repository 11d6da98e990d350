// The embedded engine keeps the broker's contract, on real files.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LogLimits } from '../../../src/broker/log/limits.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RECENT_BYTES, RESERVE_BYTES, RESERVE_STEP_BYTES } from '../log/opened-log.ts';
import { brokerContract } from './broker-contract.ts';
import { flowOf, policyOf } from './fair.ts';
import type { Subject } from './broker-contract.ts';
import { accountOf } from './quota.ts';
import { brokerModel } from './broker-model.ts';
import { deliveryModel } from './delivery-model.ts';

/** No time passes between two commits under a clock moved by hand. Small buffers, because each test opens a log, and
 *  16 MiB of reserve and a buffer of recent records would be most of its time. */
const AT_ONCE = {
  commitIntervalMs: 0,
  reserveBytes: RESERVE_BYTES,
  reserveStepBytes: RESERVE_STEP_BYTES,
  recentBytes: RECENT_BYTES,
};

/** Nothing stays in memory, a checkpoint follows every commit, and a segment holds only a few appends and is emptied as
 *  soon as anything in it is dead. */
const COLD = {
  ...AT_ONCE,
  recentBytes: 0,
  idleTopicsMax: 2,
  dirtyTopicsMax: 1,
  checkpointBytes: 1,
  segmentBytes: 1024,
  logPerLive: 1,
  spareSegments: 0,
  openSegmentsMax: 2,
  sliceItems: 2,
};

async function openLog(limits: Partial<LogLimits>): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-contract-'));
  const clock = new ManualClock();
  const open = (): Promise<BrokerEngine> =>
    openLogBroker({
      folder,
      clock,
      fsync: { mode: 'always' },
      newEpoch: randomEpoch,
      flowOf,
      policyOf,
      accountOf,
      onFatal: (error) => {
        throw error;
      },
      limits,
    });
  let broker = await open();
  return {
    broker,
    clock,
    reopen: async () => {
      await broker.close();
      broker = await open();
      return broker;
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

brokerContract('log', () => openLog(AT_ONCE), { reopens: true });
brokerModel('log', () => openLog(AT_ONCE), { reopens: true });
deliveryModel('log', () => openLog(AT_ONCE), { reopens: true });
brokerContract('cold log', () => openLog(COLD), { reopens: true });
brokerModel('cold log', () => openLog(COLD), { reopens: true });
deliveryModel('cold log', () => openLog(COLD), { reopens: true });
