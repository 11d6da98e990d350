// Checks a value against the JSON Schema of an input. The schema comes from an agent and the value from a user, so the
// time of a check is bounded: a schema may backtrack in a pattern, or grow with each reference to itself. A check
// interprets the schema; no code is made of it, and a reference never leaves it.
import { isNativeError } from 'node:util/types';
import { createContext, Script } from 'node:vm';
import Schema from 'typebox/schema';

/** UTF-8 bytes of one schema. */
export const SCHEMA_BYTES_MAX = 16 * 1024;
/** ms of CPU time. No check uses much more, and it holds the event loop for as long. The first check of a process takes
 *  half of it for a large value. */
export const CHECK_MS_MAX = 150;
/** Tries of one check. Each is ended after CHECK_MS_MAX of real time, in which a busy machine may give the process no
 *  CPU at all. */
const CHECK_TRIES_MAX = 20;
/** Faults that are named in one refusal. */
const FAULTS_MAX = 8;

export interface SchemaFault {
  /** JSON pointer into the value. */
  readonly path: string;
  readonly message: string;
}

type JsonSchema = Readonly<Record<string, unknown>>;

/** Empty if the value fits. */
export function findFaults(schema: JsonSchema, value: unknown): readonly SchemaFault[] {
  try {
    const [fits, faults] = checkInTime(() => Schema.Errors(schema, value));
    if (fits) return [];
    const named = faults.slice(0, FAULTS_MAX).map(({ instancePath, message }) => ({ path: instancePath, message }));
    return named.length > 0 ? named : [{ path: '', message: 'does not fit the schema' }];
  } catch (error) {
    if (!isTimeout(error) && !(error instanceof RangeError)) throw error;
    return [{ path: '', message: 'takes too long to check against the schema' }];
  }
}

/** Keywords that have values, which are no schemas. */
const VALUES: ReadonlySet<string> = new Set(['enum', 'const', 'default', 'examples', 'required']);
/** Keywords that have schemas by names. */
const NAMED: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
]);

/** Why no value could be checked against this schema; undefined for none. */
export function findSchemaFault(schema: unknown): string | undefined {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return 'it is no object';
  const pending: unknown[] = [schema];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (typeof node !== 'object' || node === null) continue;
    const { $ref, pattern, patternProperties } = node as JsonSchema;
    if (typeof $ref === 'string' && !$ref.startsWith('#')) return 'a $ref points out of it';
    if (typeof $ref === 'string' && !isDecodable($ref)) return 'a $ref is no URI';
    const patterns = [pattern, ...(isObject(patternProperties) ? Object.keys(patternProperties) : [])];
    if (!patterns.every(isPattern)) return 'a pattern is no regular expression';
    for (const [keyword, inner] of Object.entries(node)) {
      if (VALUES.has(keyword)) continue;
      // The names in such an object are no keywords.
      const isNamed = NAMED.has(keyword) && isObject(inner);
      for (const one of isNamed ? Object.values(inner) : [inner]) pending.push(one);
    }
  }
  return undefined;
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null;
}

/** A check decodes the references that it follows. */
function isDecodable(reference: string): boolean {
  try {
    decodeURIComponent(reference);
    return true;
  } catch (error) {
    if (error instanceof URIError) return false;
    throw error;
  }
}

function isPattern(pattern: unknown): boolean {
  if (typeof pattern !== 'string') return true;
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

const CONTEXT: { check: () => void } = { check: () => undefined };
createContext(CONTEXT);
const CALL = new Script('check()');

/** A try that ended at its time although the process had little of the CPU says nothing of the schema. So the check is
 *  tried again until it has used its time. Otherwise a busy machine would refuse answers that fit. */
function checkInTime<T>(work: () => T): T {
  const begun = process.cpuUsage();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return inTime(work);
    } catch (error) {
      if (!isTimeout(error) || cpuMsSince(begun) >= CHECK_MS_MAX || attempt === CHECK_TRIES_MAX) throw error;
    }
  }
}

/** ms of CPU time of this process. */
export function cpuMsSince(begun: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
}

/** Calls a function, and throws if it takes longer than CHECK_MS_MAX: only `node:vm` can end code that does not
 *  return, a regular expression included. */
function inTime<T>(work: () => T): T {
  let done: { readonly result: T } | undefined;
  CONTEXT.check = () => {
    done = { result: work() };
  };
  try {
    CALL.runInContext(CONTEXT, { timeout: CHECK_MS_MAX });
  } finally {
    CONTEXT.check = () => undefined;
  }
  if (done === undefined) throw new Error('the check did not run');
  return done.result;
}

/** The error may be of the other context. */
function isTimeout(error: unknown): boolean {
  return isNativeError(error) && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
