// Checks which users besides the owner may write to a data folder, and explains the system's refusals to the operator
// who starts a server on it.
import { stat } from 'node:fs/promises';
import { BrokerError } from '../../errors.ts';
import { isCode, type SystemCode } from './log-files.ts';

const OTHERS_WRITE = 0o022;
/** For files and folders that this process may not use, or that are of another kind. */
const REFUSALS = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR'] as const satisfies readonly SystemCode[];

/** A warning and not a refusal, because a volume that a cluster mounts is often writable for a group. */
export async function describeAccess(folder: string): Promise<string | undefined> {
  const mode = (await stat(folder)).mode & 0o777;
  if ((mode & OTHERS_WRITE) === 0) return undefined;
  return `the data folder ${folder} has mode ${mode.toString(8)}: other users of this machine can delete and replace chats. chmod 700 ${folder}`;
}

/** Turns a system's refusal into a one-line error; returns every other error as it is. */
export function unusable(folder: string, error: unknown): unknown {
  const isRefusal =
    error instanceof Error &&
    (REFUSALS.some((code) => isCode(error, code)) || /permission denied|not permitted|read-only/i.test(error.message));
  if (!isRefusal || error instanceof BrokerError) return error;
  return new BrokerError('invalid-config', `the data folder ${folder} cannot be used: ${error.message}`, {
    cause: error,
  });
}
