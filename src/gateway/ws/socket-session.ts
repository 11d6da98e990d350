// The state of one WebSocket: its identity, and the chats that it follows. Frames change it (`frames.ts`), and the
// pulse ends it when its token expires. `ws-connection.ts` owns the transport. [PROTOCOL §6]
import type { Clock } from '../../base/clock.ts';
import { StopController } from '../../base/stop-signal.ts';
import type { EventSink, Frame, StreamEnd } from '../../stream/event-sink.ts';
import { wsWire } from '../../wires/native.ts';
import type { CountedConnection } from '../limits/admission.ts';
import { covers, requireScope, type Identity } from '../auth/identity.ts';
import type { TokenVerifier } from '../auth/token-verifier.ts';
import type { Connection } from '../connections/connections.ts';
import { mapError } from '../error-map.ts';
import type { EventStreams, StreamStart } from '../event-streams.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import type { Principal } from '../../session/session-ref.ts';
import { SessionError } from '../../session/errors.ts';
import type { WsConnection } from './ws-connection.ts';

export interface SocketSessionDeps {
  readonly clock: Clock;
  readonly tokens: Pick<TokenVerifier, 'isStillGood'>;
  readonly config: GatewayConfig;
  readonly streams: EventStreams;
  readonly counted: CountedConnection;
}

/** The request or the subscription that an `error` frame answers. */
export interface FrameAddress {
  readonly requestId?: string;
  readonly sessionId?: string;
}

export class SocketSession implements Connection {
  readonly wire = 'ws';
  readonly #connection: WsConnection;
  readonly #deps: SocketSessionDeps;
  readonly #following = new Map<string, SocketStream>();
  readonly #openedAt: number;
  #identity: Identity | undefined;

  constructor(connection: WsConnection, deps: SocketSessionDeps) {
    this.#connection = connection;
    this.#deps = deps;
    this.#openedAt = deps.clock.mono();
  }

  /** The user, whether or not the token is still valid; undefined before the first token. */
  get principal(): Principal | undefined {
    return this.#identity?.principal;
  }

  /** Checks the token again for every frame. @throws GatewayError unauthenticated, token-expired */
  get identity(): Identity {
    if (this.#identity === undefined) throw new GatewayError('unauthenticated');
    if (!this.#deps.tokens.isStillGood(this.#identity)) throw new GatewayError('token-expired');
    return this.#identity;
  }

  /** Sets the identity of the first token, or of a newer one of the same user.
   *  @throws GatewayError forbidden, too-many; both close the socket */
  authenticate(identity: Identity): void {
    requireScope(identity, 'chat');
    const before = this.#identity?.principal;
    const { tenant, user } = identity.principal;
    if (before !== undefined && (before.tenant !== tenant || before.user !== user)) {
      throw new GatewayError('forbidden', { message: 'a socket belongs to one user' });
    }
    this.#deps.counted.assign(identity.principal);
    this.#identity = identity;
    for (const sessionId of this.#following.keys()) {
      if (!covers(identity, sessionId)) this.#endFollowing(sessionId, new GatewayError('forbidden'));
    }
  }

  /** @throws GatewayError too-many */
  mustHaveRoom(): void {
    if (this.#following.size >= this.#deps.config.subscriptionsPerSocketMax) {
      throw new GatewayError('too-many', { message: 'too many subscriptions on this socket' });
    }
    this.#deps.counted.checkSubscriptions();
  }

  follow(sessionId: string, start: StreamStart): void {
    this.unfollow(sessionId);
    if (this.#connection.isClosing) return;
    this.#deps.counted.subscribe();
    const sink = new SocketStream(this.#connection, (ended, reason) => {
      if (this.#following.get(sessionId) === ended) this.#endFollowing(sessionId, endError(reason));
    });
    this.#following.set(sessionId, sink);
    const wire = wsWire(sessionId);
    void this.#deps.streams.run({
      start,
      wire: wire.name,
      encoder: wire.shared,
      sink,
      signal: sink.closed,
      onReset: 'restart',
      until: 'forever',
    });
  }

  unfollow(sessionId: string): void {
    const following = this.#following.get(sessionId);
    if (following === undefined) return;
    this.#following.delete(sessionId);
    this.#deps.counted.unsubscribe();
    following.closed.abort();
  }

  reply(frame: Readonly<Record<string, unknown>>): void {
    this.#connection.send(JSON.stringify(frame));
  }

  replyError(address: FrameAddress, error: unknown): void {
    const { error: told, retryAfterMs } = mapError(error);
    this.reply({ type: 'error', ...address, ...told, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
  }

  onPulse(): void {
    const { clock, tokens, config } = this.#deps;
    if (this.#identity !== undefined && !tokens.isStillGood(this.#identity))
      this.#connection.closeFor(new GatewayError('token-expired'));
    const isLate = this.#identity === undefined && clock.mono() - this.#openedAt >= config.wsAuthTimeoutMs;
    if (isLate) this.#connection.closeFor(new GatewayError('auth-timeout'));
    this.#connection.onPulse();
  }

  askToReconnect(afterMs: number): void {
    const told = { type: 'event', event: 'reconnect', data: { afterMs } };
    if (this.#following.size === 0) this.reply(told);
    for (const sessionId of this.#following.keys()) this.reply({ ...told, sessionId });
    this.#connection.closeFor(new GatewayError('draining', { retryAfterMs: afterMs }));
  }

  destroy(): void {
    this.#connection.terminate();
  }

  /** Releases everything after the socket has closed. */
  close(): void {
    for (const { closed } of this.#following.values()) closed.abort();
    this.#following.clear();
    this.#deps.counted.release();
  }

  #endFollowing(sessionId: string, why: unknown): void {
    this.unfollow(sessionId);
    this.replyError({ sessionId }, why);
  }
}

/** The sink of one followed chat. Its events share the socket with those of the other chats. */
class SocketStream implements EventSink {
  readonly #connection: WsConnection;
  readonly #onEnd: (stream: SocketStream, reason: StreamEnd) => void;
  readonly closed = new StopController();

  constructor(connection: WsConnection, onEnd: (stream: SocketStream, reason: StreamEnd) => void) {
    this.#connection = connection;
    this.#onEnd = onEnd;
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedBytes;
  }

  write(frame: Frame): void {
    // A batch can still arrive between the end of this sink and the end of its subscription.
    if (!this.closed.aborted) this.#connection.send(frame);
  }

  onceDrained(callback: () => void): void {
    this.#connection.onceDrained(callback);
  }

  end(reason: StreamEnd): void {
    this.#onEnd(this, reason);
  }
}

/** The error of the `error` frame that ends a subscription when the server ends its stream. */
function endError(reason: StreamEnd): unknown {
  return reason === 'failed' ? new GatewayError('internal') : new SessionError('not-found');
}
