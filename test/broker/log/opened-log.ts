// A log broker on a temporary folder, for tests: opens it, opens it again, and removes it with the test.
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
/** Small, because a buffer of the default size makes V8 collect the whole heap of the test at each opening. */
export const RECENT_BYTES = 1024 * 1024;

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
  /** Closes the previous engine, unless it was abandoned, and opens the folder again. */
  readonly reopen: (changes?: Partial<LogBrokerOptions>) => Promise<BrokerEngine>;
}

/** A crash copy counts as the same folder. `commitIntervalMs` is 0, because no time passes between two commits under
 *  a clock moved by hand. */
export async function openLog(options: Partial<LogBrokerOptions> = {}): Promise<OpenedLog> {
  const folder = options.folder ?? (await temporaryFolder());
  const clock = new ManualClock();
  const fatal: Error[] = [];
  const open = (changes: Partial<LogBrokerOptions>): Promise<BrokerEngine> => {
    const limits = {
      commitIntervalMs: 0,
      reserveBytes: RESERVE_BYTES,
      reserveStepBytes: RESERVE_STEP_BYTES,
      recentBytes: RECENT_BYTES,
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

/** A copy of the folder as a crash at this moment would leave it, under another name. */
export async function crashCopy(folder: string): Promise<string> {
  const copy = await temporaryFolder();
  // Sockets cannot be copied.
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  return copy;
}

/** The path of the log's first segment. */
export function segmentPath(folder: string, id = 1): string {
  return join(folder, 'log', `${String(id).padStart(16, '0')}.seg`);
}
