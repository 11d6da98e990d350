// Parses JSON that an operator wrote, or reports its faults, each in one line: those of the syntax, and those that a
// schema finds.
import { readFileSync } from 'node:fs';
import type { TLocalizedValidationError } from 'typebox/error';
import { findJsonFault } from './json-fault.ts';

const FILE_CHARS_MAX = 4 * 1024 * 1024;

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

/** Undefined after a fault. */
export function readJsonFile(path: string, onFault: (what: string) => void): { readonly value: unknown } | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > FILE_CHARS_MAX) throw new Error('the file is too large');
    return { value: parseJsonText(text, path) };
  } catch (error) {
    onFault(error instanceof Error ? error.message : 'the file cannot be read');
    return undefined;
  }
}

/** What a schema found, as `<place>: <what>`. `unknownField` says what is wrong with a field that the schema does not
 *  have; its steps lead to the field. */
export function shapeFaults(
  errors: readonly TLocalizedValidationError[],
  unknownField: (steps: readonly string[]) => string,
): string[] {
  const faults = errors.flatMap((error) => {
    const { keyword, instancePath, message } = error;
    // The same fault is reported for each of the fields, with its position.
    if (keyword === 'additionalProperties') return [];
    const steps = instancePath.split('/').slice(1).map(unescape);
    return [
      `${steps.length === 0 ? 'the file' : steps.join('.')}: ${keyword === 'boolean' ? unknownField(steps) : error.keyword === 'enum' ? `must be one of ${error.params.allowedValues.join(', ')}` : message}`,
    ];
  });
  return [...new Set(faults)];
}

/** Decodes a step of a JSON pointer. [RFC 6901 §4] */
function unescape(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}
