// Keeps secrets out of the log. Queries of URLs contain tickets, and sometimes tokens by mistake, and libraries put
// URLs into their messages: every line loses its queries, and paths are cut, so that callers cannot fill the log. A
// client that disconnects is not a defect, so its error is logged without a stack.
import { stdSerializers, type LoggerOptions } from 'pino';

export const LOGGED_PATH_CHARS_MAX = 200;

/** Options for the logger of a process that serves HTTP. */
export const privateLogging: Pick<LoggerOptions, 'serializers' | 'hooks'> = {
  serializers: { err: tellError, url: tellUrl, path: tellUrl },
  hooks: {
    logMethod(args, method) {
      const told = args.map((arg: unknown) => (typeof arg === 'string' ? withoutQueries(arg) : arg));
      const [first] = args as readonly unknown[];
      const error = first instanceof Error ? first : (first as { readonly err?: unknown } | null | undefined)?.err;
      // Without a message, pino would use the error's own, with its queries.
      if (told.length === 1 && error instanceof Error) told.push(withoutQueries(error.message));
      method.apply(this, told as typeof args);
    },
  },
};

/** Codes of errors after which the other side of a connection is gone. */
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

/** Removes the query string from each path in the text, and shortens the path. A path is any text that begins with a
 *  slash. */
function withoutQueries(text: string): string {
  return text.replace(/(\/[^\s"'`?]*)\?[^\s"'`]*/g, (_, path: string) => path.slice(0, LOGGED_PATH_CHARS_MAX));
}
