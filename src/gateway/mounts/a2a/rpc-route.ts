// POST /a2a/{agent}: the methods over JSON-RPC. [A2A §9]
import type { FastifyReply } from 'fastify';
import { A2aError } from '../../../wires/a2a/a2a-error.ts';
import { parseRpc, rpcResult, type RpcRequest } from '../../../wires/a2a/rpc.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import type { A2aMethods } from './a2a-methods.ts';
import { agentParams, JSON_TYPE, noExtendedCard, noPush, type AgentRequest } from './agent-request.ts';
import type { StreamTask } from './task-stream.ts';

const PUSH_METHOD = /^(Create|Get|List|Delete)TaskPushNotificationConfigs?$/;

export function rpcRoute(mount: HttpApp, methods: A2aMethods, stream: StreamTask): void {
  mount.post('/:agent', { schema: { hide: true, params: agentParams } }, async (request, reply) =>
    answer(methods, stream, parseRpc(request.body), request, reply),
  );
}

async function answer(
  methods: A2aMethods,
  stream: StreamTask,
  { id, method, params }: RpcRequest,
  request: AgentRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const identity = identityOf(request);
  const { agent } = request.params;
  switch (method) {
    case 'SendStreamingMessage':
      return stream(request, reply, id, async () => methods.sendStreaming(request, identity, agent, params));
    case 'SubscribeToTask':
      return stream(request, reply, id, async () => methods.subscribe(identity, params));
    default: {
      const result = await call(methods, method, params, request);
      return reply.type(JSON_TYPE).send(rpcResult(id, result));
    }
  }
}

async function call(methods: A2aMethods, method: string, params: unknown, request: AgentRequest): Promise<unknown> {
  const identity = identityOf(request);
  switch (method) {
    case 'SendMessage':
      return methods.send(request, identity, request.params.agent, params);
    case 'GetTask':
      return methods.get(request, identity, params);
    case 'ListTasks':
      return methods.list(identity, params);
    case 'CancelTask':
      return methods.cancel(request, identity, params);
    case 'GetExtendedAgentCard':
      throw noExtendedCard();
    default:
      throw PUSH_METHOD.test(method) ? noPush() : new A2aError('method-not-found', 'no such method');
  }
}
