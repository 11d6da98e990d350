// Live reads of durable streams: a long poll waits for one change, an event stream sends every append. Both count as
// connections of their user, end at a drain and with their token, and keep a stream with a short time to live.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../../base/clock.ts';
import { StopController } from '../../../base/stop-signal.ts';
import { encodeOffset } from '../../../durable-streams/offset-token.ts';
import type { StreamLog } from '../../../durable-streams/stream-log.ts';
import { AppendGatherer } from '../../../durable-streams/stream-reads.ts';
import type { LoadedStream } from '../../../durable-streams/stream-records.ts';
import { isTextType } from '../../../durable-streams/stream-rules.ts';
import { viewWire } from '../../../wires/durable-streams/view-frames.ts';
import type { Identity } from '../../auth/identity.ts';
import type { TokenVerifier } from '../../auth/token-verifier.ts';
import type { Connection, Connections } from '../../connections/connections.ts';
import { HttpStream } from '../../connections/http-stream.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { untilItsTurn, type LastRequests } from '../../http/answer-order.ts';
import { forgetRequest } from '../../http/forget-request.ts';
import { identityOf } from '../../http/http-app.ts';
import type { Metrics } from '../../metrics.ts';
import type { Admission } from '../../limits/admission.ts';
import { nextCursor } from './stream-cursor.ts';
import { controlEvent, dataEvent } from './stream-frames.ts';

export interface LiveReadsDeps {
  readonly config: Pick<GatewayConfig, 'sseHeartbeatMs' | 'longPollMs'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly tokens: TokenVerifier;
  readonly admission: Admission;
  readonly connections: Connections;
  readonly lastRequests: LastRequests;
  readonly metrics: Pick<Metrics, 'onRequest'>;
  readonly streamLog: StreamLog;
  readonly onDefect: (error: unknown) => void;
}

/** An event stream ends after this time, so that a cache in between may join its next readers. Clients come back. */
export const EVENT_STREAM_MS = 60_000;
/** A reader with more unread bytes than this gets nothing more until it has read them. */
const UNREAD_BYTES_MAX = 256 * 1024;

/** What a live read begins with. */
export interface LiveStart {
  readonly stream: LoadedStream;
  readonly count: number;
  /** The cursor that the client sent. */
  readonly cursor: number | undefined;
}

/** Resolves when the stream has changed, or after the time of a long poll. False: nothing came. */
export async function waitForChange(
  deps: LiveReadsDeps,
  request: FastifyRequest,
  { stream, count }: LiveStart,
): Promise<boolean> {
  const { config, clock, admission, connections, streamLog } = deps;
  const identity = identityOf(request);
  admission.check(request.ip, identity.principal);
  const counted = admission.enter(request.ip);
  counted.assign(identity.principal);
  const poll = new WaitingPoll(request, identity, deps.tokens);
  connections.add(poll);
  const timer = clock.after(config.longPollMs, () => poll.stop());
  const onClose = (): void => poll.stop();
  request.raw.socket.once('close', onClose);
  try {
    streamLog.keep(stream, poll.signal);
    for await (const _ of streamLog.tail(stream, count, poll.signal)) return true;
    return false;
  } finally {
    timer.cancel();
    poll.stop();
    request.raw.socket.removeListener('close', onClose);
    connections.remove(poll);
    counted.release();
  }
}

class WaitingPoll implements Connection {
  readonly wire = 'durable-streams';
  readonly signal = new StopController();
  readonly #request: FastifyRequest;
  readonly #identity: Identity;
  readonly #tokens: Pick<TokenVerifier, 'isStillGood'>;

  constructor(request: FastifyRequest, identity: Identity, tokens: Pick<TokenVerifier, 'isStillGood'>) {
    this.#request = request;
    this.#identity = identity;
    this.#tokens = tokens;
  }

  stop(): void {
    this.signal.abort();
  }

  /** The answer says that nothing came; the next poll needs a good token. */
  onPulse(): void {
    if (!this.#tokens.isStillGood(this.#identity)) this.stop();
  }

  askToReconnect(): void {
    this.stop();
  }

  destroy(): void {
    this.#request.raw.socket.destroy();
  }
}

/** Answers with an event stream. @throws GatewayError node-full, too-many */
export async function openEventStream(
  deps: LiveReadsDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  start: LiveStart,
): Promise<void> {
  const { clock, admission, connections, config } = deps;
  const { socket } = request.raw;
  const identity = identityOf(request);
  if (!(await untilItsTurn(reply.raw, socket, clock))) {
    reply.hijack();
    return;
  }
  admission.check(request.ip, identity.principal);
  const counted = admission.enter(request.ip);
  counted.assign(identity.principal);
  reply.hijack();
  deps.lastRequests.startStream(socket);
  const connection = new HttpStream(socket, {
    wire: viewWire,
    encoder: viewWire.shared,
    clock,
    heartbeatMs: config.sseHeartbeatMs,
    identity,
    tokens: deps.tokens,
    onClosed: (closed) => {
      counted.release();
      connections.remove(closed);
    },
  });
  connections.add(connection);
  deps.metrics.onRequest(request.routeOptions.url ?? 'none', 200);
  const { type } = start.stream.config;
  connection.open(
    reply.raw,
    { ...ownHeaders(reply), ...(isTextType(type) ? {} : { 'stream-sse-data-encoding': 'base64' }) },
    0,
  );
  forgetRequest(request.raw, reply.raw);
  void sendEvents(deps, connection, start);
}

function ownHeaders(reply: FastifyReply): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, typeof value === 'number' ? String(value) : value]],
    ),
  );
}

/** Never rejects. */
async function sendEvents(deps: LiveReadsDeps, connection: HttpStream, start: LiveStart): Promise<void> {
  const { clock, streamLog, onDefect } = deps;
  const { stream, count } = start;
  const timer = clock.after(EVENT_STREAM_MS, () => connection.end('done'));
  connection.signal.addEventListener('abort', () => timer.cancel(), { once: true });
  try {
    streamLog.keep(stream, connection.signal);
    const control = controls(deps, start);
    if (count === stream.tail) connection.write(control(count, true, stream.state.closed === true));
    if (count !== stream.tail || stream.state.closed !== true) await follow(deps, connection, start, control);
  } catch (error) {
    onDefect(error);
  }
  connection.end('done');
}

async function follow(
  { streamLog }: LiveReadsDeps,
  connection: HttpStream,
  { stream, count }: LiveStart,
  control: ControlOf,
): Promise<void> {
  const { type } = stream.config;
  const gatherer = new AppendGatherer(count);
  for await (const result of streamLog.tail(stream, count, connection.signal)) {
    // The stream has ended, or the reader's token points into an append. The next request of the client says which.
    if (result.kind !== 'batch' || !gatherer.add(result.items)) return;
    const appends = gatherer.take();
    const isOver = result.end && gatherer.isClosed;
    if (appends.length > 0) connection.write(dataEvent(type, appends));
    if (appends.length > 0 || isOver) connection.write(control(gatherer.next, result.end, isOver));
    if (isOver) return;
    if (connection.bufferedBytes > UNREAD_BYTES_MAX)
      await new Promise<void>((resolve) => {
        connection.signal.addEventListener('abort', resolve, { once: true });
        connection.onceDrained(resolve);
      });
  }
}

type ControlOf = (count: number, isUpToDate: boolean, isClosed: boolean) => string;

/** The control events of one stream. Their cursor never goes back. */
function controls({ clock, random }: LiveReadsDeps, { stream: { epoch }, cursor }: LiveStart): ControlOf {
  let last = Number(nextCursor(clock.now(), cursor, random()));
  return (count, isUpToDate, isClosed) => {
    last = Math.max(last, Number(nextCursor(clock.now(), undefined, 0)));
    return controlEvent({
      streamNextOffset: encodeOffset(count, epoch),
      ...(isClosed ? {} : { streamCursor: String(last) }),
      ...(isUpToDate ? { upToDate: true } : {}),
      ...(isClosed ? { streamClosed: true } : {}),
    });
  };
}
