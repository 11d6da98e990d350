// /openapi.json: the description of the HTTP routes, generated from the schemas that validate them.
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
  // Generated once: the description does not change, and generating it costs too much for each request.
  let text: string | undefined;
  app.get('/openapi.json', { config: { access: 'open' }, schema: { hide: true } }, async (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    return reply.type('application/json; charset=utf-8').serializer(String).send(text);
  });
}
