// Who may use a data folder besides its owner, and what the system's refusals mean for who starts a server on it.
import { stat } from 'node:fs/promises';
import { BrokerError } from '../../errors.ts';
import { isCode, type SystemCode } from './log-files.ts';

const OTHERS_WRITE = 0o022;
/** Of files and folders that this process may not use, or that are something else. */
const REFUSALS = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR'] as const satisfies readonly SystemCode[];

/** A warning and no refusal: a volume that a cluster mounts is often writable for a group. */
export async function describeAccess(folder: string): Promise<string | undefined> {
  const mode = (await stat(folder)).mode & 0o777;
  if ((mode & OTHERS_WRITE) === 0) return undefined;
  return `the data folder ${folder} has mode ${mode.toString(8)}: other users of this machine can delete chats and put files of theirs in the place of these. chmod 700 ${folder}`;
}

/** One line for a start that the system refused; every other error as it is. */
export function unusable(folder: string, error: unknown): unknown {
  const isRefusal =
    error instanceof Error &&
    (REFUSALS.some((code) => isCode(error, code)) || /permission denied|not permitted|read-only/i.test(error.message));
  if (!isRefusal || error instanceof BrokerError) return error;
  return new BrokerError('invalid-config', `the data folder ${folder} cannot be used: ${error.message}`, {
    cause: error,
  });
}
