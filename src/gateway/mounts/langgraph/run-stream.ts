// The stream of a run. A stream that breaks is resumed by the client itself: it requests the address in `Location` with
// the id of the last event.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import { parseEventId, type EventId } from '../../../wires/langgraph/event-id.ts';
import { langGraphWire } from '../../../wires/langgraph/langgraph.ts';
import type { StreamMode } from '../../../wires/langgraph/run-request.ts';
import type { Identity } from '../../auth/identity.ts';
import { GatewayError } from '../../gateway-error.ts';
import { openStream, type PreparedStream, type StreamRoutesDeps } from '../../routes/open-stream.ts';
import { locationOf, type RunName } from './run-names.ts';
import { readBefore, type ThreadReadsDeps } from './thread-reads.ts';

export async function stream(
  deps: StreamRoutesDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  threadId: string,
  prepare: (identity: Identity) => Promise<PreparedStream>,
): Promise<FastifyReply> {
  const url = request.routeOptions.url ?? '';
  await openStream(deps, request, reply, { url, wire: HEAD_WIRE, sessionId: threadId, ticket: undefined, prepare });
  return reply;
}

/** The wire as far as its connection needs it: all streams have the same head and the same heartbeat. */
const HEAD_WIRE = langGraphWire({ threadId: '', epoch: '', modes: [], before: [] });

/** `given`: the position up to which the reader holds everything. */
export async function prepareStream(
  deps: ThreadReadsDeps,
  identity: Identity,
  { threadId, runId, leg }: RunName,
  modes: readonly StreamMode[],
  given: string | undefined,
  hasRoom = false,
): Promise<PreparedStream> {
  const start = await deps.streams.startAtRun(identity, threadId, runId, { hasRoom });
  const { epoch } = start.after;
  const id = given === undefined ? undefined : mustBeIn(given, epoch, start.topicInfo.next);
  const after = id?.position.offset;
  const before = modes.includes('values') ? await readBefore(deps, identity, threadId, runId) : [];
  const query = modes.map((mode) => `stream_mode=${mode}`).join('&');
  const location = locationOf({ threadId, runId, leg });
  return {
    start: { ...start, isResuming: after !== undefined },
    encoder: new ProjectedEncoder(
      langGraphWire({ threadId, epoch, leg, modes, before, base: id?.base }).project({ runId, after }),
    ),
    cut: after,
    // Relative to the address that the client was given, so without the path of the mount.
    headers: { location: `${location}/stream?${query}`, 'content-location': location, 'x-run-id': runId },
    onReset: 'close',
    until: 'forever',
  };
}

/** @throws GatewayError invalid-position */
function mustBeIn(given: string, epoch: string, next: number): EventId {
  const id = parseEventId(given);
  if (id === undefined || id.position.epoch !== epoch || id.position.offset >= next)
    throw new GatewayError('invalid-position', { message: 'Last-Event-ID: not an event of this thread' });
  return id;
}

/** The client sends -1 for the beginning. */
export function lastEventId({ headers }: FastifyRequest): string | undefined {
  const given = headers['last-event-id'];
  return typeof given !== 'string' || given === '' || given === '-1' ? undefined : given;
}
