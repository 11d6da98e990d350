// The only door to the file system for the log: a handful of calls, so that tests can refuse space, cut writes
// short, fail a flush or hold one back, and so that what reaches the disk can be traced. Real files: node-log-files.ts.

export interface LogFile {
  /** Writes as much as the device takes, at least one byte, and says how much. May be fewer than given. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Reads up to `into.length` bytes; 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Data and the size of the file are on the device when it resolves. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface LogFiles {
  /** `create` fails if the file exists. */
  open(path: string, mode: 'create' | 'write' | 'read'): Promise<LogFile>;
  /** Makes the folder and its parents. */
  makeFolder(path: string): Promise<void>;
  /** Names, not paths. */
  list(folder: string): Promise<readonly string[]>;
  unlink(path: string): Promise<void>;
  /** Replaces what has the name. */
  rename(from: string, to: string): Promise<void>;
  /** Makes what was created and unlinked in the folder durable. */
  syncFolder(path: string): Promise<void>;
  /** Of the whole device on which the folder is; 0 where it does not say. */
  deviceBytes(folder: string): Promise<number>;
}

/** The system's errors that mean something to the engine. */
export type SystemCode =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'ECONNREFUSED'
  | 'EEXIST'
  | 'EINVAL'
  | 'EISDIR'
  | 'EMFILE'
  | 'ENOENT'
  | 'ENOSPC'
  | 'ENOTDIR'
  | 'EOPNOTSUPP'
  | 'EPERM'
  | 'EROFS'
  | 'ESRCH';

/** Matches on the code, and on the text only where lmdb puts the system's message into its own. ENOSPC stands for every way in
 *  which a device refuses more bytes. */
export function isCode(error: unknown, code: SystemCode): boolean {
  if (!(error instanceof Error)) return false;
  if (code === 'ENOSPC' && /no space left|quota exceeded|MDB_MAP_FULL/i.test(error.message)) return true;
  return 'code' in error && (error.code === code || (code === 'ENOSPC' && error.code === 'EDQUOT'));
}
