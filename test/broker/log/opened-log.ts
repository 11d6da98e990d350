// A log broker on a real folder of its own, for tests: opened, opened again, and thrown away with the test.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { openLogBroker, type LogBrokerOptions } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';

/** Small, because tests open many logs and copy their folders. */
export const RESERVE_BYTES = 4096;
export const RESERVE_STEP_BYTES = 1024;

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-log-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface OpenedLog {
  readonly folder: string;
  readonly clock: ManualClock;
  readonly fatal: Error[];
  readonly broker: BrokerEngine;
  /** Closes the one before, unless it was abandoned, and opens the folder again. */
  readonly reopen: (changes?: Partial<LogBrokerOptions>) => Promise<BrokerEngine>;
}

/** A crash copy counts as the same folder. `commitIntervalMs` is 0: under a clock moved by hand no time passes between two commits. */
export async function openLog(options: Partial<LogBrokerOptions> = {}): Promise<OpenedLog> {
  const folder = options.folder ?? (await temporaryFolder());
  const clock = new ManualClock();
  const fatal: Error[] = [];
  const open = (changes: Partial<LogBrokerOptions>): Promise<BrokerEngine> => {
    const limits = {
      commitIntervalMs: 0,
      reserveBytes: RESERVE_BYTES,
      reserveStepBytes: RESERVE_STEP_BYTES,
      ...options.limits,
      ...changes.limits,
    };
    return openLogBroker({
      folder,
      fsync: { mode: 'always' },
      place: 'here',
      clock,
      newEpoch: randomEpoch,
      onFatal: (error) => fatal.push(error),
      ...options,
      ...changes,
      limits,
    });
  };
  let broker = await open({});
  onTestFinished(() => broker.close());
  const reopen = async (changes: Partial<LogBrokerOptions> = {}): Promise<BrokerEngine> => {
    await broker.close();
    broker = await open(changes);
    return broker;
  };
  return { folder, clock, fatal, broker, reopen };
}

/** The folder as a crash at this moment would leave it, under another name. */
export async function crashCopy(folder: string): Promise<string> {
  const copy = await temporaryFolder();
  // Sockets are nothing that can be copied.
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  return copy;
}

/** Of the log's only, or first, segment. */
export function segmentPath(folder: string, id = 1): string {
  return join(folder, 'log', `${String(id).padStart(16, '0')}.seg`);
}
