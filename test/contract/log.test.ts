// The embedded engine keeps the broker's contract, on real files.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { openLogBroker } from '../../src/broker/log/open-log-broker.ts';
import { randomEpoch } from '../../src/broker/open-broker.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { brokerContract } from './broker-contract.ts';
import type { Subject } from './broker-contract.ts';
import { brokerModel } from './broker-model.ts';

async function openLog(): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-contract-'));
  const clock = new ManualClock();
  const open = (): Promise<BrokerEngine> =>
    openLogBroker({
      folder, clock,
      fsync: { mode: 'always' },
      newEpoch: randomEpoch,
      onFatal: (error) => {
        throw error;
      },
      // Under a clock moved by hand no time passes between two commits.
      limits: { commitIntervalMs: 0 },
    });
  let broker = await open();
  return {
    broker, clock,
    reopen: async () => {
      await broker.close();
      broker = await open();
      return broker;
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

brokerContract('log', openLog, { reopens: true });
brokerModel('log', openLog);
