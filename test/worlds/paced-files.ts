// Real files for a world. Each operation is done at once and answered one turn of the event loop later. On the threads
// of the process an operation would take more turns the busier the machine is; a world that counts in turns would then
// end before its disk did anything, and a seed would depend on the load.
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { nodeLogFiles, type LogFile, type LogFiles } from '../../src/broker/log/disk/log-files.ts';
import { turns } from './turns.ts';

const FLAGS = { create: 'wx+', write: 'r+', read: 'r' } as const;
const FILE_MODE = 0o600;

async function paced<T>(operation: () => T): Promise<T> {
  const result = operation();
  await turns(1);
  return result;
}

class PacedFile implements LogFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(bytes: Uint8Array, position: number): Promise<number> {
    return paced(() => writeSync(this.#fd, bytes, 0, bytes.length, position));
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return paced(() => readSync(this.#fd, into, 0, into.length, position));
  }

  /** Does nothing: the disk of the world decides what is durable. */
  datasync(): Promise<void> {
    return turns(1);
  }

  truncate(length: number): Promise<void> {
    return paced(() => ftruncateSync(this.#fd, length));
  }

  size(): Promise<number> {
    return paced(() => fstatSync(this.#fd).size);
  }

  close(): Promise<void> {
    return paced(() => closeSync(this.#fd));
  }
}

export const pacedFiles: LogFiles = {
  ...nodeLogFiles,
  open: (path, mode) => paced(() => new PacedFile(openSync(path, FLAGS[mode], FILE_MODE))),
};
