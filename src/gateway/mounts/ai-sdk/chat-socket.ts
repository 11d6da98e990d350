// The state of one WebSocket of the AI SDK: its user, and the requests whose answers it streams. `socket-requests.ts`
// serves the frames; `ws-connection.ts` owns the transport.
import type { Clock } from '../../../base/clock.ts';
import { StopController } from '../../../base/stop-signal.ts';
import type { Principal } from '../../../session/session-ref.ts';
import { SessionError } from '../../../session/errors.ts';
import type { EventSink, Frame, StreamEnd } from '../../../stream/event-sink.ts';
import { ProjectedEncoder } from '../../../stream/projected-encoder.ts';
import type { ChunkOptions } from '../../../wires/ai-sdk/chunks.ts';
import { aiSdkSocketWire, messagesOf, type SocketReply } from '../../../wires/ai-sdk/socket-wire.ts';
import { covers, requireScope, type Identity } from '../../auth/identity.ts';
import type { TokenVerifier } from '../../auth/token-verifier.ts';
import type { Connection } from '../../connections/connections.ts';
import { mapError } from '../../error-map.ts';
import type { EventStreams, RunStart } from '../../event-streams.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import type { CountedConnection } from '../../limits/admission.ts';
import type { WsConnection } from '../../ws/ws-connection.ts';
import { errorText } from './error-text.ts';

/** Requests of one socket whose answers are streamed. */
export const LIVE_REQUESTS_MAX = 256;

export interface ChatSocketDeps {
  readonly clock: Clock;
  readonly tokens: Pick<TokenVerifier, 'isStillGood'>;
  readonly config: Pick<GatewayConfig, 'wsAuthTimeoutMs'>;
  readonly streams: Pick<EventStreams, 'run'>;
  readonly counted: CountedConnection;
  /** Called once, with the first good credential. */
  readonly onKnown: () => void;
}

/** A request whose answer is streamed. */
export interface AnswerRequest {
  readonly requestId: string;
  readonly sessionId: string;
  readonly kind: 'send' | 'resume';
  readonly identity: Identity;
  readonly start: RunStart;
  readonly options: ChunkOptions;
}

interface LiveAnswer {
  readonly request: AnswerRequest;
  readonly sink: AnswerSink;
}

export class ChatSocket implements Connection {
  readonly wire = 'ai-sdk-ws';
  readonly #connection: WsConnection;
  readonly #deps: ChatSocketDeps;
  /** By request id. */
  readonly #live = new Map<string, LiveAnswer>();
  readonly #openedAt: number;
  /** Of the credential that is good for the longest time. */
  #identity: Identity | undefined;

  constructor(connection: WsConnection, deps: ChatSocketDeps) {
    this.#connection = connection;
    this.#deps = deps;
    this.#openedAt = deps.clock.mono();
  }

  /** Undefined before the first good credential. */
  get principal(): Principal | undefined {
    return this.#identity?.principal;
  }

  /** Takes a credential of the upgrade or of a frame. @throws GatewayError forbidden, too-many */
  authenticate(identity: Identity): void {
    requireScope(identity, 'chat');
    const { principal } = this;
    const { tenant, user } = identity.principal;
    if (principal !== undefined && (principal.tenant !== tenant || principal.user !== user))
      throw new GatewayError('forbidden', { message: 'a socket belongs to one user' });
    this.#deps.counted.assign(identity.principal);
    if (this.#identity === undefined) this.#deps.onKnown();
    if (identity.expiresAt >= (this.#identity?.expiresAt ?? 0)) this.#identity = identity;
  }

  /** @throws GatewayError too-many */
  mustHaveRoom(): void {
    if (this.#live.size >= LIVE_REQUESTS_MAX)
      throw new GatewayError('too-many', { message: `a socket has at most ${LIVE_REQUESTS_MAX} requests at once` });
    this.#deps.counted.checkSubscriptions();
  }

  isLive(requestId: string): boolean {
    return this.#live.has(requestId);
  }

  follow(request: AnswerRequest): void {
    if (this.#connection.isClosing) return;
    const { requestId, start, options } = request;
    this.#deps.counted.subscribe();
    const sink = new AnswerSink(this.#connection, (reason) => {
      if (this.#live.get(requestId)?.sink === sink) this.#end(requestId, reason);
    });
    this.#live.set(requestId, { request, sink });
    const seed = { runId: start.answer.runId, after: undefined };
    void this.#deps.streams.run({
      start,
      wire: this.wire,
      encoder: new ProjectedEncoder(aiSdkSocketWire.project(seed, { ...options, requestId })),
      sink,
      signal: sink.closed,
      onReset: 'close',
      until: 'forever',
    });
  }

  /** Ends the stream of a request, which its client no longer reads. */
  detach(requestId: string): AnswerRequest | undefined {
    const live = this.#live.get(requestId);
    if (live === undefined) return undefined;
    this.#live.delete(requestId);
    this.#deps.counted.unsubscribe();
    live.sink.closed.abort();
    return live.request;
  }

  reply(reply: SocketReply): void {
    this.#connection.send(JSON.stringify(reply));
  }

  replyError(requestId: string, error: unknown): void {
    const { error: told, retryAfterMs } = mapError(error);
    const more = { code: told.code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    this.reply({ type: 'error', requestId, errorText: errorText(told), ...more });
  }

  onPulse(): void {
    const { clock, config, tokens } = this.#deps;
    if (this.#identity === undefined) {
      if (clock.mono() - this.#openedAt >= config.wsAuthTimeoutMs)
        this.#connection.closeFor(new GatewayError('auth-timeout'));
    } else if (!tokens.isStillGood(this.#identity)) this.#connection.closeFor(new GatewayError('token-expired'));
    else this.#endExpired(this.#identity);
    this.#connection.onPulse();
  }

  askToReconnect(afterMs: number): void {
    this.#connection.closeFor(new GatewayError('draining', { retryAfterMs: afterMs }));
  }

  destroy(): void {
    this.#connection.terminate();
  }

  /** Releases everything after the socket has closed. */
  close(): void {
    for (const requestId of [...this.#live.keys()]) this.detach(requestId);
    this.#deps.counted.release();
  }

  /** A request continues under a newer credential of the socket, if that covers its chat. */
  #endExpired(newest: Identity): void {
    for (const [requestId, { request }] of [...this.#live]) {
      if (this.#deps.tokens.isStillGood(request.identity) || covers(newest, request.sessionId)) continue;
      this.detach(requestId);
      this.replyError(requestId, new GatewayError('token-expired'));
    }
  }

  /** `done`: the stream has said its end itself. */
  #end(requestId: string, reason: StreamEnd): void {
    this.detach(requestId);
    if (reason !== 'done') this.replyError(requestId, endError(reason));
  }
}

const BROKEN = 'the connection cannot go on with this answer: resume it';

function endError(reason: StreamEnd): unknown {
  if (reason === 'removed') return new SessionError('not-found');
  return new GatewayError('internal', reason === 'failed' ? {} : { message: BROKEN });
}

/** The sink of one request. Its messages share the socket with those of the other requests. */
class AnswerSink implements EventSink {
  readonly #connection: WsConnection;
  readonly #onEnd: (reason: StreamEnd) => void;
  readonly closed = new StopController();

  constructor(connection: WsConnection, onEnd: (reason: StreamEnd) => void) {
    this.#connection = connection;
    this.#onEnd = onEnd;
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedBytes;
  }

  write(frame: Frame): void {
    // A batch can still arrive between the end of this sink and the end of its subscription.
    if (this.closed.aborted) return;
    for (const message of messagesOf(frame.toString())) this.#connection.send(message);
  }

  onceDrained(callback: () => void): void {
    this.#connection.onceDrained(callback);
  }

  end(reason: StreamEnd): void {
    this.#onEnd(reason);
  }
}
