// Planted bugs of durability: a flush is left out, or something is answered before its flush.
import { BrokerError } from '../../src/broker/errors.ts';
import type { LogFile } from '../../src/broker/log/disk/log-files.ts';
import type { Plant } from './plant.ts';
import { turns } from './turns.ts';
import type { WorldPlan } from './world-plan.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { wrapFiles } from './wrappers.ts';

/** Worlds with frequent power cuts, in which only the log shows what was lost: no checkpoint, one large segment. */
function oftenDark(plan: WorldPlan): WorldPlan {
  const limits = {
    ...plan.limits,
    segmentBytes: 1024 * 1024,
    checkpointBytes: 64 * 1024 * 1024,
    checkpointIntervalMs: 1_000_000,
  };
  return {
    ...plan,
    limits,
    fsync: { mode: 'always' },
    crashes: ['power'],
    crashWithin: 8,
    weights: { ...plan.weights, 'arm-crash': 8 },
  };
}

/** Flushes report success and flush nothing. */
export function skipFsync(): Plant {
  return { plan: oftenDark, files: (inner) => wrapFiles(inner, (file) => ({ datasync: () => mustLive(file) })) };
}

/** Writes and flushes are answered at once, and carried out a little later. */
export function ackBeforeWrite(): Plant {
  return {
    plan: oftenDark,
    files: (inner) =>
      wrapFiles(inner, (file) => {
        let behind: Promise<unknown> = Promise.resolve();
        const later = (work: () => Promise<unknown>): void => {
          // An operation is lost when the disk dies before it: that is the bug.
          behind = behind
            .then(async () => turns(3))
            .then(work)
            .catch(() => undefined);
        };
        return {
          write: async (bytes, position) => {
            await mustLive(file);
            const copy = Uint8Array.from(bytes);
            later(() => writeAll(file, copy, position));
            return bytes.length;
          },
          datasync: async () => {
            await mustLive(file);
            later(() => file.datasync());
          },
          read: async (into, position) => {
            await behind;
            return file.read(into, position);
          },
          size: async () => {
            await behind;
            return file.size();
          },
          close: async () => {
            await behind;
            await file.close();
          },
        };
      }),
  };
}

/** Readers receive records that are written and not yet flushed; only the sender waits for the flush. */
export function visibleEarly(): Plant {
  let flushed: Promise<unknown> = Promise.resolve();
  return {
    plan: oftenDark,
    files: (inner) => {
      flushed = Promise.resolve();
      return wrapFiles(inner, (file) => ({
        datasync: async () => {
          await mustLive(file);
          const flush = turns(8).then(() => file.datasync());
          // `append` below reports the failure to the callers that wait for the flush.
          flush.catch(() => undefined);
          flushed = Promise.all([flushed, flush]);
          flushed.catch(() => undefined);
        },
      }));
    },
    engine: (inner) =>
      wrapBroker(inner, {
        append: async (writes) => {
          const answers = await inner.append(writes);
          await flushed.catch((cause: unknown) => {
            throw new BrokerError('failed', 'the flush failed', { cause });
          });
          return answers;
        },
      }),
  };
}

/** Repeats a failed flush. The kernel has dropped the data of the first one and reports success. */
export function retryFsync(): Plant {
  return {
    plan: (plan) => ({
      ...plan,
      fsync: { mode: 'always' },
      crashes: ['eio'],
      weights: { ...plan.weights, 'arm-crash': 4 },
    }),
    files: (inner) => wrapFiles(inner, (file) => ({ datasync: () => file.datasync().catch(() => file.datasync()) })),
  };
}

/** Flushes new segments, but not their names. */
export function forgetFolderSync(): Plant {
  return {
    plan: (plan) => ({ ...oftenDark(plan), limits: { ...plan.limits, segmentBytes: 2048 } }),
    files: (inner) => wrapFiles(inner, () => ({}), { syncFolder: async () => undefined }),
  };
}

/** Leaves the torn end of a crashed log in place, and continues the log behind it. */
export function tornTailKept(): Plant {
  return {
    plan: oftenDark,
    files: (inner) =>
      wrapFiles(inner, (file) => {
        let from = Number.POSITIVE_INFINITY;
        let shift = 0;
        const moved = (position: number): number => (position >= from ? position + shift : position);
        return {
          truncate: async (length) => {
            shift = (await file.size()) - length;
            from = length;
          },
          write: (bytes, position) => file.write(bytes, moved(position)),
          read: (into, position) => file.read(into, moved(position)),
        };
      }),
  };
}

/** Keeps the epochs after a power cut that lost acknowledged records. */
export function epochKeptAfterLoss(): Plant {
  return {
    bootId: 'always the same',
    plan: (plan) => ({
      ...plan,
      fsync: { mode: 'interval', ms: 100_000 },
      crashes: ['power'],
      weights: { ...plan.weights, 'arm-crash': 2 },
    }),
  };
}

/** Fails for a dead process, which must not report success. @throws DiskError */
async function mustLive(file: LogFile): Promise<void> {
  await file.size();
}

async function writeAll(file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done), position + done);
}
