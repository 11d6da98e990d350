// /a2a/{agent}/message:… and /a2a/{agent}/tasks…: the methods over REST. A body may be empty. [A2A §11]
import Type from 'typebox';
import { A2aError } from '../../../wires/a2a/a2a-error.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import type { A2aMethods } from './a2a-methods.ts';
import { agentParams, JSON_TYPE, noExtendedCard, noPush, taskParams } from './agent-request.ts';
import type { StreamTask } from './task-stream.ts';

const count = Type.Optional(Type.Integer({ minimum: 0 }));
const flag = Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')]));
const text = Type.Optional(Type.String());

const taskQuery = Type.Object({ historyLength: count });
const listQuery = Type.Object({
  contextId: text,
  status: text,
  pageSize: count,
  pageToken: text,
  historyLength: count,
  statusTimestampAfter: text,
  includeArtifacts: flag,
});

export function restRoutes(mount: HttpApp, methods: A2aMethods, stream: StreamTask): void {
  messageRoutes(mount, methods, stream);
  taskRoutes(mount, methods, stream);
  const tasks = '/:agent/tasks';
  mount.get(tasks, { schema: { hide: true, params: agentParams, querystring: listQuery } }, async (request, reply) => {
    const { includeArtifacts, ...query } = request.query;
    const params = { ...query, includeArtifacts: includeArtifacts === 'true' };
    return reply.type(JSON_TYPE).send(await methods.list(identityOf(request), params));
  });
  const hidden = { schema: { hide: true, params: agentParams } };
  mount.get('/:agent/extendedAgentCard', hidden, async () => {
    throw noExtendedCard();
  });
  for (const url of [`${tasks}/:task/pushNotificationConfigs`, `${tasks}/:task/pushNotificationConfigs/:config`])
    mount.route({
      method: ['GET', 'POST', 'DELETE'],
      url,
      schema: { hide: true, params: agentParams },
      handler: async () => {
        throw noPush();
      },
    });
}

function messageRoutes(mount: HttpApp, methods: A2aMethods, stream: StreamTask): void {
  const schema = { hide: true, params: agentParams };
  mount.post('/:agent/message::send', { schema }, async (request, reply) => {
    const { agent } = request.params;
    return reply.type(JSON_TYPE).send(await methods.send(request, identityOf(request), agent, request.body));
  });
  mount.post('/:agent/message::stream', { schema, config: { isLast: true } }, async (request, reply) => {
    const { agent } = request.params;
    return stream(request, reply, undefined, async () =>
      methods.sendStreaming(request, identityOf(request), agent, request.body),
    );
  });
}

function taskRoutes(mount: HttpApp, methods: A2aMethods, stream: StreamTask): void {
  const url = '/:agent/tasks/:task';
  mount.get(url, { schema: { hide: true, params: taskParams, querystring: taskQuery } }, async (request, reply) => {
    const params = { id: request.params.task, ...request.query };
    return reply.type(JSON_TYPE).send(await methods.get(request, identityOf(request), params));
  });
  // The name of the method is behind the id, in the same part of the path.
  mount.post(url, { schema: { hide: true, params: taskParams } }, async (request, reply) => {
    const [, id, method] = /^(.*):(cancel|subscribe)$/.exec(request.params.task) ?? [];
    const identity = identityOf(request);
    if (method === 'subscribe')
      return stream(request, reply, undefined, async () => methods.subscribe(identity, { id }));
    if (method === 'cancel') return reply.type(JSON_TYPE).send(await methods.cancel(request, identity, { id }));
    throw new A2aError('method-not-found', 'no such method');
  });
}
