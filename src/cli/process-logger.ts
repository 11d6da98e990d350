// The log of a process: one line of JSON per entry, with the private parts of requests removed.
import { pino, type Logger } from 'pino';
import { privateLogging } from '../gateway/http/log-privacy.ts';

export function processLogger(level: string): Logger {
  return pino({ level, ...privateLogging });
}
