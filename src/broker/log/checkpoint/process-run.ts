// What the last life on this folder was and how it ended. Only where it acknowledged before flushing, did not close,
// and the machine has been started anew since, may visible records be lost; a process that was killed on a running
// machine left everything to the kernel. That difference decides whether readers may keep their positions.
import { readFile } from 'node:fs/promises';
import type { FsyncMode } from '../commit/group-commit.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

/** In the index's state; named so by the first builds. */
export const PROCESS_RUN_KEY = 'life';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** One life of the process on this folder: what a later one needs to judge how it ended. */
export interface ProcessRun {
  readonly bootId: string;
  readonly durable: boolean;
  readonly clean: boolean;
  readonly era: number;
  /** Which folder it was (folder-identity.ts). The first builds wrote none. */
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

/** For an operator: what an acknowledged record survives. */
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
