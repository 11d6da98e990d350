// The log of a process: one line of JSON each, which says of a request only what it may.
import { pino, type Logger } from 'pino';
import { privateLogging } from '../gateway/http/log-privacy.ts';

export function processLogger(level: string): Logger {
  return pino({ level, ...privateLogging });
}
