// The folder of the tests' temporary files, made for one run and removed after it. In memory, where Linux offers that
// and there is room: most tests of logs and of a Redis wait for a disk, and a flush costs 2 ms there. Nothing is proved
// less by it: a killed process leaves what it wrote to either, and power cuts are simulated. `diskFolder` is for a test
// that needs a real disk.
import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';

const MEMORY = '/dev/shm';
const NAME = 'holdline-tests-';
const TMPFS = 0x01021994;
/** Many times of what two files of tests hold at once; more than the 64 MiB that a container has there by default. */
const FREE_BYTES_MIN = 6 * 1024 ** 3;

let folder: string | undefined;

/** Vitest calls it before the first worker starts. */
export function setup(): void {
  folder = inMemory();
  if (folder === undefined) return;
  process.env['TEST_DISK_FOLDER'] ??= tmpdir();
  process.env['TMPDIR'] = folder;
}

/** Vitest calls it after the last worker has ended. */
export function teardown(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** Where a test makes the folder of a server that must write to a disk. */
export function diskFolder(): string {
  return process.env['TEST_DISK_FOLDER'] ?? tmpdir();
}

function inMemory(): string | undefined {
  try {
    removeAbandoned();
    const { type, bavail, bsize } = statfsSync(MEMORY);
    if (type !== TMPFS || bavail * bsize < FREE_BYTES_MIN || freemem() < FREE_BYTES_MIN) return undefined;
    return mkdtempSync(join(MEMORY, `${NAME}${process.pid}-`));
  } catch {
    // Another system, or a folder that we may not write: the disk is slower and serves as well.
    return undefined;
  }
}

/** The folders of runs that were killed would hold memory until the machine restarts. */
function removeAbandoned(): void {
  for (const name of readdirSync(MEMORY)) {
    const pid = name.startsWith(NAME) ? Number.parseInt(name.slice(NAME.length), 10) : undefined;
    if (pid !== undefined && !isRunning(pid)) rmSync(join(MEMORY, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
