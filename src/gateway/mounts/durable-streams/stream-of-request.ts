// Which stream a request is about. A token that is limited to some sessions may use no stream: a stream is no session.
import type { FastifyRequest } from 'fastify';
import type { LiteTopicName } from '../../../broker/lite-topic.ts';
import { streamTopic } from '../../../session/topic-names.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf } from '../../http/http-app.ts';
import type { StreamForks } from '../../../durable-streams/stream-forks.ts';
import { StreamRefusal } from './stream-refusals.ts';
import { streamName } from './stream-requests.ts';

export type StreamRequest = FastifyRequest<{
  Params: { '*': string };
  Querystring: Readonly<Record<string, unknown>>;
}>;

/** `given`: the name of another stream of the same user. @throws GatewayError forbidden; StreamRefusal invalid-name */
export function topicOf(
  request: StreamRequest,
  given = request.params['*'],
): { readonly topic: LiteTopicName; readonly name: string } {
  const { principal, sessions } = identityOf(request);
  if (sessions !== undefined)
    throw new GatewayError('forbidden', { message: 'the token is limited to sessions, and a stream is none' });
  const name = streamName(given);
  return { topic: streamTopic(principal, name), name };
}

/** The refusal of a request for a stream that does not exist. */
export async function missing(forks: StreamForks, topic: LiteTopicName): Promise<StreamRefusal> {
  return new StreamRefusal((await forks.isKept(topic)) ? 'stream-removed' : 'no-such-stream');
}
