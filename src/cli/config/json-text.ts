// Parses JSON that an operator wrote, or reports its fault in one line.
import { findJsonFault } from './json-fault.ts';

/** `file`: the name of the file for the report. Ignores a byte order mark, which some editors write.
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
