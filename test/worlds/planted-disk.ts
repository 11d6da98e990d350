// Planted bugs of durability: what a disk is asked for, and what is said before it has answered.
import { BrokerError } from '../../src/broker/errors.ts';
import type { LogFile } from '../../src/broker/log/disk/log-files.ts';
import type { Plant } from './plant.ts';
import { turns } from './turns.ts';
import type { WorldPlan } from './world-plan.ts';
import { wrapBroker, wrapFiles } from './wrappers.ts';

/** Worlds in which the power goes often, and nothing but the log is there to say what was lost. */
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

/** Flushes say that they have flushed, and have not. */
export function skipFsync(): Plant {
  return { plan: oftenDark, files: (inner) => wrapFiles(inner, (file) => ({ datasync: () => mustLive(file) })) };
}

/** Writes and flushes are answered at once, and done a little later. */
export function ackBeforeWrite(): Plant {
  return {
    plan: oftenDark,
    files: (inner) =>
      wrapFiles(inner, (file) => {
        let behind: Promise<unknown> = Promise.resolve();
        const later = (work: () => Promise<unknown>): void => {
          // One that the disk does not live to do is lost: that is the bug.
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

/** Readers are given what is written and not yet flushed; whoever sent it waits for the flush. */
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
          // Told to those who wait for it, in `append`.
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

/** A flush that failed is tried again; the kernel has forgotten what it was to flush, and says that all is well. */
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

/** New segments are flushed, their names are not. */
export function forgetFolderSync(): Plant {
  return {
    plan: (plan) => ({ ...oftenDark(plan), limits: { ...plan.limits, segmentBytes: 2048 } }),
    files: (inner) => wrapFiles(inner, () => ({}), { syncFolder: async () => undefined }),
  };
}

/** What a crash tore is left where it is, and the log goes on behind it. */
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

/** After a power cut that cost acknowledged records the epochs are what they were. */
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

/** A dead process does not say that all is well. */
async function mustLive(file: LogFile): Promise<void> {
  await file.size();
}

async function writeAll(file: LogFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done), position + done);
}
