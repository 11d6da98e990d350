// GET /v1/sessions/{id}/text: one answer as plain text while it streams, for scripts. [PROTOCOL §5]
import Type from 'typebox';
import { encodePosition } from '../../broker/position.ts';
import { SessionError } from '../../session/errors.ts';
import { ProjectedEncoder } from '../../stream/projected-encoder.ts';
import { textWire } from '../../wires/text.ts';
import type { Identity } from '../auth/identity.ts';
import type { StreamStart } from '../event-streams.ts';
import { GatewayError } from '../gateway-error.ts';
import type { HttpApp } from '../http/http-app.ts';
import { errorSchema, positionSchema, sessionParams } from '../http/wire-schemas.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from './open-stream.ts';

const querystring = Type.Object({
  after: Type.Optional(positionSchema),
  ticket: Type.Optional(Type.String({ maxLength: 128 })),
});

const URL = '/v1/sessions/:sessionId/text';

export function textRoutes(app: HttpApp, deps: StreamRoutesDeps): void {
  const schema = {
    tags: ['events'],
    params: sessionParams,
    querystring,
    response: {
      200: { description: 'the answer', content: { 'text/plain': { schema: Type.String() } } },
      '4xx': errorSchema,
    },
  };
  app.get(URL, { schema, config: { access: 'own', isLast: true } }, async (request, reply) => {
    const { sessionId } = request.params;
    const { after, ticket } = request.query;
    const prepare = async (identity: Identity): Promise<PreparedStream> =>
      prepareText(await deps.streams.start(identity, sessionId, { after, cursor: undefined }));
    await openStream(deps, request, reply, { url: URL, wire: textWire, sessionId, ticket, prepare });
    return reply;
  });
}

/** @throws SessionError not-found, run-not-found; GatewayError invalid-position */
function prepareText(start: StreamStart): PreparedStream {
  const { after, topicInfo, answer } = start;
  // The chat has ended. A position in it does not help: this wire has no event for the end of a chat.
  if (topicInfo === undefined) throw new SessionError('not-found');
  if (answer === undefined) throw new SessionError('run-not-found');
  // The prompt is the record before its `run.queued`, or an earlier record where the answer is regenerated.
  const isInside = after === undefined || (after.epoch === topicInfo.epoch && after.offset >= answer.queuedAt - 1);
  if (!isInside || (after !== undefined && after.offset >= topicInfo.next))
    throw new GatewayError('invalid-position', { message: 'not a position in the current answer' });
  const { epoch } = topicInfo;
  const begin = { epoch, offset: answer.queuedAt - 1 };
  return {
    start: { ...start, after: begin },
    encoder: new ProjectedEncoder(textWire.project({ runId: answer.runId, after: after?.offset })),
    cut: after?.offset ?? begin.offset,
    headers: { 'x-run-id': answer.runId, 'x-start-position': encodePosition(after ?? begin) },
    onReset: 'close',
    until: 'forever',
  };
}
