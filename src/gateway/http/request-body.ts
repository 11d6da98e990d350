// From the bytes of a request to checked values: a body is JSON within the bounds, and a route's TypeBox schemas become
// its checks. What a URL carries is text, so whole numbers are read from it, and only whole numbers in plain digits;
// bodies are taken as they are. [PROTOCOL §1]
import type { FastifyRequest, FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { GatewayError } from '../gateway-error.ts';
import { boundError, JSON_VALUES_MAX } from '../json/json-bounds.ts';
import { decodeUtf8, isFields, parseJson } from '../json/parse-json.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';

/** @throws GatewayError too-many, too-large, json-too-deep, invalid-json */
export function parseBody(
  request: FastifyRequest,
  bytes: Buffer,
  budget: ParseBudget,
  valuesMax = JSON_VALUES_MAX,
): unknown {
  // A route whose fields are all optional also takes an empty body.
  if (bytes.length === 0) return {};
  if (request.identity !== null) budget.spend(request.identity.principal, bytes.length);
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
    return Object.fromEntries(
      Object.entries(one)
        .slice(0, shown)
        .map(([name, field]) => [name, copy(field)]),
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
