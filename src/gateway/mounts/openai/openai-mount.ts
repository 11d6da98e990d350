// The OpenAI wires below `/openai/v1`: models. All errors below that path have the shape of OpenAI's.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorAnswer } from '../../../wires/openai/error-body.ts';
import type { MappedError } from '../../error-map.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { modelsRoutes, type ModelsRoutesDeps } from './models-routes.ts';

export type OpenaiDeps = MountDeps & ModelsRoutesDeps;

export async function mountOpenai(app: HttpApp, deps: OpenaiDeps): Promise<void> {
  await mountWire(app, deps, { prefix: '/openai/v1', sendError }, (mount) => {
    modelsRoutes(mount, deps);
  });
}

/** The client library repeats a failed request by itself unless `x-should-retry` forbids it. */
function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const answer = errorAnswer({ status, ...error, param: paramOf(error.details) });
  if (answer.isFinal) reply.header('x-should-retry', 'false');
  return reply.code(answer.status).type('application/json; charset=utf-8').send(answer.body);
}

/** The parameter that a refusal names. */
function paramOf(details: unknown): string | undefined {
  const given: { readonly param?: unknown } = typeof details === 'object' && details !== null ? details : {};
  return typeof given.param === 'string' ? given.param : undefined;
}
