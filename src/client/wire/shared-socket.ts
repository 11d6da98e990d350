// One WebSocket with several chats on it [PROTOCOL §6]: authenticates in its first frame, subscribes, passes events to
// their chats, pings, renews its token before it expires, and notifies every chat of its end. It never reconnects: each
// chat reconnects by itself, with its own position, over a new socket.
//
// A chat's events count only when every `subscribe` sent for it has been answered: after a chat leaves and returns on
// one socket, events in flight belong to its earlier subscription.
import type { Environment, WakeReason } from '../environment.ts';
import { SilenceWatch } from './silence-watch.ts';
import { parseServerFrame, wireEndOfClose } from '../protocol/socket-frames.ts';
import type { ClientFrame, ServerFrame } from '../protocol/socket-frames.ts';
import { expiryOf } from '../http/token-source.ts';
import type { TokenSource } from '../http/token-source.ts';
import type { WireFrame } from '../protocol/wire-events.ts';
import type { WireAttempt, WireEnd, WireRequest, WireSink } from '../protocol/wire.ts';

/** The part of a WebSocket that the client uses: the browser's own and the `ws` package's both fit. */
export interface WebSocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { readonly code: number; readonly reason: string }) => void): void;
}

/** After this much silence the client sends `ping`. */
export const SOCKET_QUIET_MS = 15_000;
/** An answer must come within this. */
export const SOCKET_PONG_MS = 8_000;
/** The same after the device came back, when a user probably looks at the screen. */
export const SOCKET_WAKE_PONG_MS = 3_000;
/** A token is renewed this long before it expires, and after a failure tried again this often. */
const RENEW_AHEAD_MS = 30_000;
const RENEW_AGAIN_MS = 10_000;
/** Timers hold at most 2^31 ms; a token with a longer validity is checked daily. */
const RENEW_LOOK_MS_MAX = 24 * 60 * 60_000;

interface Subscription {
  readonly request: WireRequest;
  readonly sink: WireSink;
}

export class SharedSocket {
  readonly #environment: Environment;
  readonly #tokens: TokenSource;
  readonly #socket: WebSocketLike;
  readonly #watch: SilenceWatch;
  readonly #subscriptions = new Map<string, Subscription>();
  /** How many `subscribe` frames of a session have no answer yet. */
  readonly #unanswered = new Map<string, number>();
  #token: string;
  #cancelRenewal: (() => void) | undefined;
  #phase: 'connecting' | 'open' | 'retired' | 'over' = 'connecting';
  #asked: 'nothing' | 'ping' | 'wake-ping' = 'nothing';

  constructor(open: () => WebSocketLike, token: string, tokens: TokenSource, environment: Environment) {
    this.#environment = environment;
    this.#tokens = tokens;
    this.#token = token;
    this.#watch = new SilenceWatch(environment, SOCKET_QUIET_MS, () => this.#onSilence());
    this.#socket = open();
    this.#socket.addEventListener('open', () => this.#onOpen());
    this.#socket.addEventListener('message', (event) => this.#onMessage(event.data));
    this.#socket.addEventListener('close', (event) => this.#end(wireEndOfClose(event.code, event.reason)));
    // A `close` always follows, with the reason.
    this.#socket.addEventListener('error', () => undefined);
  }

  /** Whether another chat may subscribe here. Not after the server announced its end, or the token expired. */
  get isUsable(): boolean {
    return this.#phase === 'connecting' || this.#phase === 'open';
  }

  has(sessionId: string): boolean {
    return this.#subscriptions.has(sessionId);
  }

  subscribe(request: WireRequest, sink: WireSink): WireAttempt {
    const subscription: Subscription = { request, sink };
    this.#subscriptions.set(request.sessionId, subscription);
    if (this.#phase === 'open') this.#sendSubscribe(request);
    return { close: () => this.#leave(subscription), wake: (reason) => this.#wake(reason) };
  }

  #onOpen(): void {
    if (this.#phase !== 'connecting') return;
    this.#phase = 'open';
    this.#watch.received();
    this.#send({ type: 'auth', token: this.#token });
    this.#planRenewal();
    for (const { request } of this.#subscriptions.values()) this.#sendSubscribe(request);
  }

  #onMessage(data: unknown): void {
    if (this.#phase === 'over') return;
    if (this.#asked === 'nothing') this.#watch.received();
    else this.#watch.expectWithin(SOCKET_QUIET_MS);
    this.#asked = 'nothing';
    const frame = typeof data === 'string' ? parseServerFrame(data) : undefined;
    if (frame === undefined) this.#end({ kind: 'lost', detail: 'a frame that is not of this protocol' });
    else this.#take(frame);
  }

  #take(frame: ServerFrame): void {
    switch (frame.type) {
      case 'subscribed':
        if (this.#answered(frame.sessionId)) this.#subscriptions.get(frame.sessionId)?.sink.opened();
        break;
      case 'events':
        for (const event of frame.frames) this.#deliver(frame.sessionId, event);
        break;
      case 'error':
        // An error without a session concerns the socket; the close code that follows decides.
        if (frame.sessionId !== undefined && this.#answered(frame.sessionId)) {
          this.#endOne(frame.sessionId, frame.end);
        }
        break;
      case 'other':
        break;
    }
  }

  #deliver(sessionId: string | undefined, event: WireFrame): void {
    if (event.id === undefined && (event.event === 'reconnect' || event.event === 'expired')) this.#phase = 'retired';
    if (sessionId === undefined) {
      for (const subscription of [...this.#subscriptions.values()]) subscription.sink.frame(event);
    } else if (!this.#unanswered.has(sessionId)) {
      this.#subscriptions.get(sessionId)?.sink.frame(event);
    }
  }

  /** Whether the subscription just answered is the last one sent. */
  #answered(sessionId: string): boolean {
    const left = (this.#unanswered.get(sessionId) ?? 0) - 1;
    if (left > 0) this.#unanswered.set(sessionId, left);
    else this.#unanswered.delete(sessionId);
    return left <= 0;
  }

  #leave(subscription: Subscription): void {
    const { sessionId } = subscription.request;
    if (this.#subscriptions.get(sessionId) !== subscription) return;
    this.#subscriptions.delete(sessionId);
    if (this.#phase === 'over') return;
    if (this.#phase !== 'connecting') this.#send({ type: 'unsubscribe', sessionId });
    // Not at once: a chat that leaves in order to subscribe from another position does both in the same turn of the
    // event loop.
    if (this.#subscriptions.size === 0) this.#environment.after(0, () => this.#closeIfEmpty());
  }

  #closeIfEmpty(): void {
    if (this.#subscriptions.size === 0) this.#end({ kind: 'lost', detail: 'nobody is subscribed' });
  }

  #wake(reason: WakeReason): void {
    const isFresh = this.#watch.ageMs < SOCKET_WAKE_PONG_MS;
    if (this.#phase === 'connecting' && isFresh) return;
    const isSilent = this.#watch.ageMs > SOCKET_QUIET_MS + SOCKET_PONG_MS;
    // On another network the old socket is dead; to resume costs less than to wait for certainty.
    if (reason === 'online' || isSilent || this.#phase === 'connecting') this.#end({ kind: 'stale' });
    else if (this.#asked !== 'wake-ping') this.#ask('wake-ping', SOCKET_WAKE_PONG_MS);
  }

  #onSilence(): void {
    if (this.#phase !== 'connecting' && this.#asked === 'nothing') this.#ask('ping', SOCKET_PONG_MS);
    else if (this.#asked === 'wake-ping') this.#end({ kind: 'stale' });
    else this.#end({ kind: 'lost', detail: 'nothing heard for too long' });
  }

  #ask(kind: 'ping' | 'wake-ping', withinMs: number): void {
    this.#asked = kind;
    this.#send({ type: 'ping' });
    this.#watch.expectWithin(withinMs);
  }

  #planRenewal(): void {
    const expiresAt = expiryOf(this.#token);
    if (expiresAt === undefined) return;
    const left = expiresAt - this.#environment.now();
    // A token that is valid for only a minute is renewed halfway through its validity, not at its start.
    const waitMs = Math.max(1_000, left - Math.min(RENEW_AHEAD_MS, left / 2));
    const look = waitMs > RENEW_LOOK_MS_MAX;
    const then = look ? () => this.#planRenewal() : () => void this.#renew();
    this.#cancelRenewal = this.#environment.after(Math.min(waitMs, RENEW_LOOK_MS_MAX), then);
  }

  /** On the open socket, so that the stream continues [PROTOCOL §2]. If it fails, the server's 4401 is the second
   *  chance. */
  async #renew(): Promise<void> {
    let fresh: string | undefined;
    try {
      fresh = await this.#tokens.renew(this.#token);
    } catch {
      if (this.#phase === 'open')
        this.#cancelRenewal = this.#environment.after(RENEW_AGAIN_MS, () => void this.#renew());
      return;
    }
    if (fresh === undefined || this.#phase !== 'open') return;
    this.#token = fresh;
    this.#send({ type: 'auth', token: fresh });
    this.#planRenewal();
  }

  #sendSubscribe({ sessionId, after }: WireRequest): void {
    this.#unanswered.set(sessionId, (this.#unanswered.get(sessionId) ?? 0) + 1);
    this.#send({ type: 'subscribe', sessionId, after: after ?? 'earliest' });
  }

  #send(frame: ClientFrame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  #endOne(sessionId: string, end: WireEnd): void {
    const subscription = this.#subscriptions.get(sessionId);
    this.#subscriptions.delete(sessionId);
    subscription?.sink.ended(end);
    if (this.#subscriptions.size === 0) this.#environment.after(0, () => this.#closeIfEmpty());
  }

  #end(end: WireEnd): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#watch.stop();
    this.#cancelRenewal?.();
    this.#socket.close(1000);
    const ended = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    for (const { sink } of ended) sink.ended(end);
  }
}
