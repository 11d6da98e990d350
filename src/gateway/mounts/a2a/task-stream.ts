// The stream of a task, for JSON-RPC and for REST.
import type { FastifyReply } from 'fastify';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { a2aWire, type RpcId } from '../../../wires/a2a/a2a-wire.ts';
import { openStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import type { TaskStream } from './a2a-methods.ts';
import type { AgentRequest } from './agent-request.ts';

/** `rpcId`: undefined for REST. `prepare`: the method that the stream answers. */
export type StreamTask = (
  request: AgentRequest,
  reply: FastifyReply,
  rpcId: RpcId | undefined,
  prepare: () => Promise<TaskStream>,
) => Promise<FastifyReply>;

export function taskStreams(deps: StreamRoutesDeps): StreamTask {
  return async (request, reply, rpcId, prepare) => {
    await openStream(deps, request, reply, {
      url: request.routeOptions.url ?? '',
      wire: a2aWire,
      sessionId: '',
      ticket: undefined,
      prepare: async () => {
        const { task, start, history } = await prepare();
        const { sessionId, runId } = task;
        const projection = a2aWire.project({ runId, after: undefined }, { sessionId, rpcId, history });
        return {
          start,
          encoder: new ProjectedEncoder(projection),
          headers: { 'x-run-id': runId, 'x-session-id': sessionId },
          onReset: 'close',
          until: 'forever',
        };
      },
    });
    return reply;
  };
}
