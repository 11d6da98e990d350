// What an operator sees when a command fails: one text, and a stack only for a defect of ours.
import { isBrokerError } from '../broker/errors.ts';
import { AdminError } from './admin/admin-client.ts';
import { UsageError } from './config/environment.ts';

export interface FailedCommand {
  readonly message: string;
  /** sysexits.h: 64 usage, 69 unavailable, 70 a defect, 73 cannot create, 74 input or output, 75 try again later, 78
   *  configuration. */
  readonly exitCode: number;
}

export function describeError(error: unknown): FailedCommand {
  if (error instanceof UsageError) return { message: error.message, exitCode: 64 };
  if (error instanceof AdminError) return { message: `${error.code}: ${error.message}`, exitCode: 69 };
  if (isBrokerError(error, 'invalid-topic')) return { message: error.message, exitCode: 64 };
  if (isBrokerError(error, 'invalid-config')) return { message: error.message, exitCode: 78 };
  if (isBrokerError(error))
    return { message: error.message, exitCode: error.retryable || error.code === 'locked' ? 75 : 74 };
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'EADDRINUSE') return { message: `${addressOf(error)} is in use: set PORT to another one`, exitCode: 73 };
  // The system's own message about an address, a file or a folder is enough.
  if (error instanceof Error && typeof code === 'string' && 'syscall' in error)
    return { message: error.message, exitCode: 73 };
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: 70 };
}

/** Where the system refused to listen. */
function addressOf(error: unknown): string {
  const { address, port } = error as { readonly address?: string; readonly port?: number };
  return address === undefined ? 'the address' : `${address}:${port}`;
}
