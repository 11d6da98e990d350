// The refusal of one field of a request.
import type { FastifyReply } from 'fastify';
import type { SearchFault } from '../../../wires/langgraph/thread-search.ts';
import { GatewayError } from '../../gateway-error.ts';

/** @throws GatewayError invalid-request with the name of the field */
export function refuse(param: string, reason: string): never {
  throw new GatewayError('invalid-request', { message: `${param}: ${reason}` });
}

/** What the API knows and this server cannot answer is 422. @throws GatewayError invalid-request */
export function sendFault(reply: FastifyReply, { param, reason, isKnown }: SearchFault): FastifyReply {
  if (isKnown !== true) refuse(param, reason);
  return reply.code(422).send({ detail: `${param}: ${reason}`, code: 'unsupported' });
}
