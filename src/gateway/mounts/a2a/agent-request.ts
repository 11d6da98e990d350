// What the routes of A2A share: the path of an agent, and the requests that no agent of this server can serve.
import Type from 'typebox';
import type { FastifyRequest } from 'fastify';
import { A2aError } from '../../../wires/a2a/a2a-error.ts';

export const agentParams = Type.Object({ agent: Type.String() });
export const taskParams = Type.Object({ agent: Type.String(), task: Type.String() });

/** A request whose path has the agent. */
export type AgentRequest = FastifyRequest<{ Params: { agent: string } }>;

export const JSON_TYPE = 'application/json; charset=utf-8';

export function noPush(): A2aError {
  return new A2aError('push-not-supported', 'push notifications are not supported: subscribe to the task');
}

export function noExtendedCard(): A2aError {
  return new A2aError('no-extended-card', 'there is no extended card: the public one is whole');
}
