// A disk that a test can fill: a small tmpfs, mounted where that is allowed (root, with the capability to mount).
// Always unmounted at the end.
import { spawnSync } from 'node:child_process';
import { mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, type TestContext } from 'vitest';
import { Child } from '../support/child.ts';

const BALLAST_BYTES = 64 * 1024;
const mounted = new Set<string>();
process.once('exit', () => {
  for (const folder of mounted) spawnSync('umount', ['--lazy', folder]);
});

export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** The disk, or a text that says why it cannot be mounted. */
  static async mount(mebibytes: number): Promise<SmallDisk | string> {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-disk-'));
    const child = new Child('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder]);
    const { code } = await child.exited;
    if (code === 0) {
      mounted.add(folder);
      return new SmallDisk(folder);
    }
    await rmdir(folder);
    return `a tmpfs cannot be mounted here: ${child.stderr.trim()}`;
  }

  /** Fills the disk until no page is free. */
  async fill(): Promise<void> {
    const file = await open(this.#ballast(), 'a');
    try {
      for (let size = BALLAST_BYTES; size >= 1;) {
        const { bytesWritten } = await file.write(Buffer.alloc(size)).catch(noSpace);
        if (bytesWritten < size) size = Math.floor(size / 2);
      }
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast());
  }

  async unmount(): Promise<void> {
    const child = new Child('umount', [this.folder]);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(`the disk could not be unmounted: ${child.stderr}`);
    mounted.delete(this.folder);
    await rmdir(this.folder);
  }

  #ballast(): string {
    return join(this.folder, 'ballast');
  }
}

function noSpace(error: unknown): { bytesWritten: number } {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  return { bytesWritten: 0 };
}

/** A disk for the duration of a test. Skips the test, with a warning, where none can be mounted. */
export async function mountSmallDisk(context: TestContext, mebibytes: number): Promise<SmallDisk> {
  const disk = await SmallDisk.mount(mebibytes);
  if (typeof disk === 'string') {
    console.warn(`NOT PROVED: ${context.task.name}: ${disk}`);
    return context.skip(disk);
  }
  onTestFinished(() => disk.unmount());
  return disk;
}
