// What a log line may say of a request. Tickets, and tokens by mistake, stand in the queries of URLs, and libraries put
// URLs into their messages: queries are taken out of every line, and paths are cut, so that nobody can fill the log.
// A client that went away is no defect: its error is told without a stack.
import { stdSerializers, type LoggerOptions } from 'pino';

export const LOGGED_PATH_CHARS_MAX = 200;

/** For the logger of a process that serves HTTP. */
export const privateLogging: Pick<LoggerOptions, 'serializers' | 'hooks'> = {
  serializers: { err: tellError, url: tellUrl, path: tellUrl },
  hooks: {
    logMethod(args, method) {
      const told = args.map((arg: unknown) => (typeof arg === 'string' ? withoutQueries(arg) : arg));
      const [first] = args as readonly unknown[];
      const error = first instanceof Error ? first : (first as { readonly err?: unknown } | null | undefined)?.err;
      // A line without words takes those of its error.
      if (told.length === 1 && error instanceof Error) told.push(withoutQueries(error.message));
      method.apply(this, told as typeof args);
    },
  },
};

/** Codes of errors that say that the other side of a connection is gone. */
const GONE = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED']);

export function isClientGone(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && GONE.has(error.code);
}

function tellUrl(given: unknown): unknown {
  return typeof given === 'string' ? (given.split('?', 1)[0] ?? '').slice(0, LOGGED_PATH_CHARS_MAX) : given;
}

function tellError(given: unknown): unknown {
  if (!(given instanceof Error)) return given;
  if (isClientGone(given)) return { type: given.name, message: withoutQueries(given.message), code: given.code };
  const told: { message: string; stack: string } = stdSerializers.err(given);
  return { ...told, message: withoutQueries(told.message), stack: withoutQueries(told.stack) };
}

/** A path is what begins with a slash. */
function withoutQueries(text: string): string {
  return text.replace(/(\/[^\s"'`?]*)\?[^\s"'`]*/g, (_, path: string) => path.slice(0, LOGGED_PATH_CHARS_MAX));
}
