// Real files for a world, each operation done at once and answered one turn of the event loop later. Left to the threads of the
// process, an operation takes more turns the busier the machine is, and a world that goes by turns would be over before its
// disk had done anything: what a seed stands for would depend on the load.
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

  /** The disk of a world decides what is durable. */
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
