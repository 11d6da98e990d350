// /openapi.json: the HTTP half of the protocol, made from the schemas that validate it.
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { HttpApp } from '../http/http-app.ts';

export const OPENAPI_INFO: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: { title: 'Holdline', version: '1', description: 'A chat session gateway that never loses an answer.' },
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    security: [{ bearer: [] }],
  },
};

export function openapiRoutes(app: HttpApp): void {
  // Made once: it does not change, and making it costs more than a request may.
  let text: string | undefined;
  app.get('/openapi.json', { config: { access: 'open' }, schema: { hide: true } }, async (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    return reply.type('application/json; charset=utf-8').serializer(String).send(text);
  });
}
