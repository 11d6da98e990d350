// The log of a process: one line of JSON per entry, with the private parts of requests removed.
import { pino, type Logger } from 'pino';
import { privateLogging } from '../gateway/http/log-privacy.ts';

/** What a write to a terminal or a pipe fails with when nobody reads it any more. */
const GONE: ReadonlySet<string | undefined> = new Set(['EIO', 'EPIPE']);

/** When its output is gone, the log is silent. Otherwise the error would end the process before its streams are
 *  drained, and pino would repeat the last line without end. */
export function processLogger(level: string): Logger {
  const output = pino.destination({ dest: 1, sync: true });
  const silence = (): void => undefined;
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (!GONE.has(error.code)) throw error;
    Object.assign(output, { write: silence, flush: silence, flushSync: silence });
  });
  return pino({ level, ...privateLogging }, output);
}
