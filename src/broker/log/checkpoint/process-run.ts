// The process runs of a data folder: what the last one was and how it ended. Visible records may be lost only if that
// run acknowledged before flushing, did not close, and the machine has restarted since; a process that was killed on a
// running machine left everything to the kernel. That difference decides whether readers may keep their positions.
import { readFile } from 'node:fs/promises';
import type { FsyncMode } from '../commit/group-commit.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

/** The key in the index's state. The first builds named it so. */
export const PROCESS_RUN_KEY = 'life';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** One process run on this folder: what a later run needs to judge how it ended. */
export interface ProcessRun {
  readonly bootId: string;
  readonly durable: boolean;
  readonly clean: boolean;
  readonly era: number;
  /** The identity of the folder (folder-identity.ts). The first builds wrote none. */
  readonly place?: string;
}

/** Changes with every start of the machine. Where there is none, every unclean end counts as a power cut. */
export async function readBootId(): Promise<string> {
  if (process.platform !== 'linux') return '';
  return (await readFile(BOOT_ID, 'utf8')).trim();
}

export function mayHaveLost(last: ProcessRun | undefined, bootId: string): boolean {
  if (last === undefined || last.clean || last.durable) return false;
  return bootId === '' || last.bootId !== bootId;
}

export function startedRun(bootId: string, fsync: FsyncMode, era: number): ProcessRun {
  return { bootId, durable: fsync.mode === 'always', clean: false, era };
}

/** What an acknowledged record survives, in one line for an operator. */
export function describeDurability(fsync: FsyncMode): string {
  if (fsync.mode === 'always')
    return 'log, fsync always: survives the process, the system and a power cut, if the device honours flushes';
  if (fsync.mode === 'interval')
    return `log, fsync every ${fsync.ms} ms: survives the process; a power cut may cost the last ${fsync.ms} ms`;
  return 'log, fsync left to the system: survives the process; a power cut may cost half a minute';
}

export function readProcessRun(index: TopicIndex): ProcessRun | undefined {
  const bytes = index.state(PROCESS_RUN_KEY);
  return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as ProcessRun);
}
