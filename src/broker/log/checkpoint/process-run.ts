// What the last life on this folder was and how it ended. Only where it acknowledged before flushing, did not close,
// and the machine has been started anew since, may visible records be lost; a process that was killed on a running
// machine left everything to the kernel. That difference decides whether readers may keep their positions.
import { readFile } from 'node:fs/promises';
import type { Life } from './checkpoint.ts';
import type { FsyncMode } from '../commit/group-commit.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Changes with every start of the machine. Where there is none, every unclean end counts as a power cut. */
export async function readBootId(): Promise<string> {
  if (process.platform !== 'linux') return '';
  return (await readFile(BOOT_ID, 'utf8')).trim();
}

export function mayHaveLost(last: Life | undefined, bootId: string): boolean {
  if (last === undefined || last.clean || last.durable) return false;
  return bootId === '' || last.bootId !== bootId;
}

export function lifeOf(bootId: string, fsync: FsyncMode, era: number): Life {
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
