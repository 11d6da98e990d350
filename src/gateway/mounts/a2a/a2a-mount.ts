// /a2a/{agent}: A2A 1.0 for one agent, over JSON-RPC and over REST, and its agent cards. [A2A §5, §8]
import type { FastifyReply, FastifyRequest } from 'fastify';
import { A2aError } from '../../../wires/a2a/a2a-error.ts';
import { agentCard } from '../../../wires/a2a/agent-card.ts';
import { refuseVersion } from '../../../wires/a2a/requests.ts';
import { rpcFailure, rpcIdOf } from '../../../wires/a2a/rpc.ts';
import type { GatewayParts } from '../../gateway-parts.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { mustBeServed } from '../../known-agents.ts';
import { mountWire } from '../mount.ts';
import { fromMapped, rpcStatus } from './a2a-errors.ts';
import { A2aMethods } from './a2a-methods.ts';
import { agentParams, JSON_TYPE } from './agent-request.ts';
import { restRoutes } from './rest-routes.ts';
import { rpcRoute } from './rpc-route.ts';
import { taskStreams } from './task-stream.ts';

const PREFIX = '/a2a';
const RPC_URL = `${PREFIX}/:agent`;
const CARD_PATH = '/.well-known/agent-card.json';
/** Of the cards. An agent has no version of its own. */
const CARD_VERSION = '1';

type CardDeps = Pick<GatewayParts, 'config'>;

export async function mountA2a(app: HttpApp, parts: GatewayParts): Promise<void> {
  const methods = new A2aMethods(parts);
  const stream = taskStreams(parts);
  const sendError: Parameters<typeof mountWire>[2]['sendError'] = (mapped, request, reply) =>
    sendFailure(fromMapped(mapped), request, reply);
  await mountWire(app, parts, { prefix: PREFIX, sendError }, (mount) => {
    mount.addHook('preHandler', async (request) => mustBeServed(parts.config.agents, agentOf(request)));
    mount.addHook('onRoute', (route) => {
      const { handler } = route;
      route.handler = async function answer(request, reply) {
        try {
          if (route.config?.access !== 'open') refuseVersion(versionOf(request));
          return await handler.call(this, request, reply);
        } catch (error) {
          if (error instanceof A2aError) return sendFailure(error, request, reply);
          throw error;
        }
      };
    });
    rpcRoute(mount, methods, stream);
    restRoutes(mount, methods, stream);
    mount.get(
      `/:agent${CARD_PATH}`,
      { schema: { hide: true, params: agentParams }, config: { access: 'open' } },
      async (request, reply) => sendCard(parts, request.params.agent, request, reply),
    );
  });
  app.get(CARD_PATH, { schema: { hide: true }, config: { access: 'open' } }, async (request, reply) => {
    const { defaultAgent, agents } = parts.config;
    mustBeServed(agents, defaultAgent);
    return sendCard(parts, defaultAgent, request, reply);
  });
}

function sendFailure(error: A2aError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.type(JSON_TYPE);
  return request.routeOptions.url === RPC_URL
    ? reply.code(rpcStatus(error)).send(rpcFailure(rpcIdOf(request.body), error))
    : reply.code(error.status).send(error.toRest());
}

function sendCard({ config }: CardDeps, agent: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const origin = config.publicUrl ?? `${request.protocol}://${request.headers.host}`;
  const card = agentCard({
    agent,
    description: config.agents?.get(agent)?.description,
    url: `${origin.replace(/\/$/, '')}${PREFIX}/${agent}`,
    version: CARD_VERSION,
  });
  return reply.type(JSON_TYPE).send(card);
}

function agentOf({ params }: FastifyRequest): string {
  return (params as { readonly agent: string }).agent;
}

function versionOf({ headers }: FastifyRequest): string | undefined {
  const version = headers['a2a-version'];
  return typeof version === 'string' ? version : undefined;
}
