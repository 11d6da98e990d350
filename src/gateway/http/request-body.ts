// From the bytes of a request to checked values: a body is JSON within the bounds, and a route's TypeBox schemas become
// its checks. What a URL carries is text, so whole numbers are read from it, and only whole numbers in plain digits;
// bodies are taken as they are. [PROTOCOL §1]
import type { FastifyRequest, FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { GatewayError } from '../gateway-error.ts';
import { boundError, errorOfBound, JSON_VALUES_MAX } from '../json/json-bounds.ts';
import { LARGE_JSON_BYTES, type LargeJson } from '../json/large-json.ts';
import { decodeUtf8, isFields, parseJson } from '../json/parse-json.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';

export interface ParseBodyDeps {
  readonly parseBudget: ParseBudget;
  readonly largeJson: LargeJson;
}

/** @throws GatewayError too-many, too-large, json-too-deep, invalid-json */
export async function parseBody(
  { parseBudget, largeJson }: ParseBodyDeps,
  request: FastifyRequest,
  bytes: Buffer,
  valuesMax = JSON_VALUES_MAX,
): Promise<unknown> {
  // A route whose fields are all optional also takes an empty body.
  if (bytes.length === 0) return {};
  const principal = request.identity?.principal;
  if (principal !== undefined) parseBudget.spend(principal, bytes.length);
  if (bytes.length <= LARGE_JSON_BYTES) return parseSmall(bytes, valuesMax);
  const parsed = await largeJson.parseBytes(bytes, valuesMax);
  if (principal !== undefined) parseBudget.chargeValues(principal, parsed.values);
  if (parsed.kind === 'value') return parsed.value;
  throw parsed.kind === 'exceeded' ? errorOfBound(parsed.bound, valuesMax) : new GatewayError('invalid-json');
}

function parseSmall(bytes: Buffer, valuesMax: number): unknown {
  const text = decodeUtf8(bytes);
  const parsed = text === undefined ? undefined : parseJson(text, valuesMax);
  if (parsed === undefined)
    throw (text === undefined ? undefined : boundError(text, valuesMax)) ?? new GatewayError('invalid-json');
  return parsed.value;
}

const WHOLE = /^-?\d{1,15}$/;

export const requestValidation: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  const isText = httpPart !== 'body';
  return (given: unknown) => {
    const value = isText ? readNumbers(schema, given) : given;
    return check.Check(value) ? { value } : { error: check.Errors(excerpt(value)) };
  };
};

/** Fields of one list or object that the search for faults reads; and of all nested ones together. */
const LOOKED_AT_MAX = 300;
const LOOKED_AT_IN_ALL_MAX = 2_000;

/** The beginning of a large value. Describing its faults walks the whole value and costs many times what it costs to
 *  find that there is one, so only an excerpt is described. */
export function excerpt(value: unknown): unknown {
  let left = LOOKED_AT_IN_ALL_MAX;
  const copy = (one: unknown): unknown => {
    left -= 1;
    if (typeof one !== 'object' || one === null) return one;
    const shown = Math.max(1, Math.min(left, LOOKED_AT_MAX));
    if (Array.isArray(one)) return one.slice(0, shown).map(copy);
    // The names alone: a list of all entries of an object with 100,000 of them takes 40 ms.
    const fields = one as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      Object.keys(fields)
        .slice(0, shown)
        .map((name) => [name, copy(fields[name])]),
    );
  };
  return copy(value);
}

function readNumbers(schema: TSchema, given: unknown): unknown {
  const properties = 'properties' in schema && isFields(schema.properties) ? schema.properties : {};
  if (!isFields(given)) return given;
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      const isNumber =
        isFields(property) && property['type'] === 'integer' && typeof value === 'string' && WHOLE.test(value);
      return [name, isNumber ? Number(value) : value];
    }),
  );
}
