// Guards the file descriptors that the log needs. A process with too few of them fails in the middle of its work, so a
// start refuses them. A process that has used them all up, for connections, must still be able to begin the next
// segment; otherwise the log would end the process.
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { BrokerError } from '../../errors.ts';
import { isCode } from './log-files.ts';

/** Enough for the index, the log's files, a server's own files and some connections. */
export const DESCRIPTORS_MIN = 256;
const LIMITS = '/proc/self/limits';

/** @throws BrokerError invalid-config */
export async function checkDescriptors(): Promise<void> {
  if (process.platform !== 'linux') return;
  const soft = /^Max open files\s+(\d+)/m.exec(await readFile(LIMITS, 'utf8'))?.[1];
  if (soft === undefined || Number(soft) >= DESCRIPTORS_MIN) return;
  throw new BrokerError(
    'invalid-config',
    `this process may open only ${soft} files and connections, and needs at least ${DESCRIPTORS_MIN}: raise it with \`ulimit -n\`, LimitNOFILE= or --ulimit nofile=`,
  );
}

/** One descriptor that is held open, to be released when the process has no other. */
export class DescriptorReserve {
  #held: FileHandle | undefined;

  async fill(): Promise<void> {
    try {
      this.#held ??= await open('/dev/null', 'r');
    } catch (error) {
      // The next call tries again.
      if (!isCode(error, 'EMFILE')) throw error;
    }
  }

  async release(): Promise<void> {
    await this.#held?.close();
    this.#held = undefined;
  }

  /** Opens a file, with the reserve's descriptor if the process has no other. */
  async use<T>(openOne: () => Promise<T>): Promise<T> {
    try {
      return await openOne();
    } catch (error) {
      const held = this.#held;
      if (held === undefined || !isCode(error, 'EMFILE')) throw error;
      this.#held = undefined;
      await held.close();
      return openOne();
    }
  }
}
