// Turns a route's TypeBox schemas into its checks. What stands in a URL is text, so whole numbers are read there,
// and only whole numbers in plain digits; bodies are taken as they are.
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { isFields } from './parse-json.ts';

const WHOLE = /^-?\d{1,15}$/;

export const requestValidation: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  const isText = httpPart !== 'body';
  return (given: unknown) => {
    const value = isText ? readNumbers(schema, given) : given;
    return check.Check(value) ? { value } : { error: check.Errors(value) };
  };
};

function readNumbers(schema: TSchema, given: unknown): unknown {
  const properties = 'properties' in schema && isFields(schema.properties) ? schema.properties : {};
  if (!isFields(given)) return given;
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      const isNumber = isFields(property) && property['type'] === 'integer' && typeof value === 'string' && WHOLE.test(value);
      return [name, isNumber ? Number(value) : value];
    }),
  );
}
