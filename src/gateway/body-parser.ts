// Request bodies: JSON and nothing else. Fastify's own text parser goes, because a form on any page may send
// text/plain without a preflight; everything that is not application/json is 415. [PROTOCOL §1]
import { GatewayError } from './gateway-error.ts';
import type { HttpApp } from './http-app.ts';
import { decodeUtf8, parseJson } from './parse-json.ts';

export function installBodyParser(app: HttpApp): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, bytes: Buffer) => {
    // Where every field may be left out, so may the braces.
    if (bytes.length === 0) return {};
    const text = decodeUtf8(bytes);
    const parsed = text === undefined ? undefined : parseJson(text);
    if (parsed === undefined) throw new GatewayError('invalid-json');
    return parsed.value;
  });
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.method !== 'GET' && request.method !== 'HEAD') request.body = {};
  });
}
