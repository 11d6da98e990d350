// JSON that an operator wrote: its value, or one line that says where it is wrong.
import { findJsonFault } from './json-fault.ts';

/** `file`: where the text stands. A byte order mark, which some editors put before it, is no part of it.
 *  @throws Error whose message repeats nothing of the text */
export function parseJsonText(text: string, file?: string): unknown {
  const json = text.startsWith('\ufeff') ? text.slice(1) : text;
  const fault = findJsonFault(json);
  if (fault !== undefined) {
    const { line, column, what } = fault;
    const place = file === undefined ? `line ${line}, column ${column}` : `${file}:${line}:${column}`;
    throw new Error(`${place}: not JSON: ${what}`);
  }
  return JSON.parse(json) as unknown;
}
