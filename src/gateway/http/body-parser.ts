// Request bodies: JSON and nothing else. Fastify's own text parser goes, because a form on any page may send
// text/plain without a preflight; everything that is not application/json is 415. [PROTOCOL §1]
import type { FastifyRequest } from 'fastify';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from './http-app.ts';
import { boundExceeded, tooManyValues } from '../json/json-bounds.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';
import { decodeUtf8, parseJson } from '../json/parse-json.ts';

export function installBodyParser(app: HttpApp, budget: ParseBudget): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      // Where every field may be left out, so may the braces.
      if (bytes.length === 0) return {};
      if (request.identity !== null) budget.spend(request.identity.principal, bytes.length);
      const text = decodeUtf8(bytes);
      const parsed = text === undefined ? undefined : parseJson(text);
      if (parsed === undefined)
        throw text !== undefined && boundExceeded(text) === 'values'
          ? tooManyValues()
          : new GatewayError('invalid-json');
      return parsed.value;
    },
  );
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method !== 'GET' && request.method !== 'HEAD') request.body = {};
  });
}
