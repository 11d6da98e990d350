// The log of a process: one line of JSON per entry, with the private parts of requests removed.
import { pino, type Logger } from 'pino';
import { privateLogging } from '../gateway/http/log-privacy.ts';

/** What a write to a terminal or a pipe fails with when nobody reads it any more. */
const GONE: ReadonlySet<string | undefined> = new Set(['EIO', 'EPIPE']);
/** Lines that could not be written are kept up to this size, in characters; later lines are dropped. */
const KEPT_MAX = 1024 * 1024;

/** A log that cannot be written never ends the process and never holds it. When its output is gone, the log is silent.
 *  After any other error, such as a full disk, the lines are written with the next line that finds room. */
export function processLogger(level: string, fd = 1): Logger {
  const output = pino.destination({ dest: fd, sync: true, maxLength: KEPT_MAX });
  const silence = (): void => undefined;
  // Every line is written at once, so a flush would only repeat a line that failed, and pino repeats it without end.
  Object.assign(output, { flushSync: silence });
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (GONE.has(error.code)) Object.assign(output, { write: silence, flush: silence });
  });
  return pino({ level, ...privateLogging }, output);
}
