// Which of the system's errors mean something to the engine. Matched on the code, never on the text, except for
// lmdb, which puts the system's message into its own.

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

/** ENOSPC stands for every way in which a device refuses more bytes. */
export function isCode(error: unknown, code: SystemCode): boolean {
  if (!(error instanceof Error)) return false;
  if (code === 'ENOSPC' && /no space left|quota exceeded|MDB_MAP_FULL/i.test(error.message)) return true;
  return 'code' in error && (error.code === code || (code === 'ENOSPC' && error.code === 'EDQUOT'));
}
