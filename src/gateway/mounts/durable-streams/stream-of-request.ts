// Which stream a request is about. A token that is limited to some sessions may use no stream: a stream is no session.
import type { FastifyRequest } from 'fastify';
import type { LiteTopicName } from '../../../broker/lite-topic.ts';
import { streamTopic } from '../../../session/topic-names.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf } from '../../http/http-app.ts';
import { streamName } from './stream-requests.ts';

export type StreamRequest = FastifyRequest<{
  Params: { '*': string };
  Querystring: Readonly<Record<string, unknown>>;
}>;

/** @throws GatewayError forbidden; StreamRefusal invalid-name */
export function topicOf(request: StreamRequest): { readonly topic: LiteTopicName; readonly name: string } {
  const { principal, sessions } = identityOf(request);
  if (sessions !== undefined)
    throw new GatewayError('forbidden', { message: 'the token is limited to sessions, and a stream is none' });
  const name = streamName(request.params['*']);
  return { topic: streamTopic(principal, name), name };
}
