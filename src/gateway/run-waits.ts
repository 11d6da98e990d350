// Waits until a run has ended, or asks a human, for protocols whose requests are answered with the whole result. A wait
// is a reader of the chat like a stream: it counts against the limits of connections, it watches the chat, and it ends
// early when the node drains, when the token expires, and when the client is gone.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { StopController } from '../base/stop-signal.ts';
import { parseEvent } from '../session/events/chat-event.ts';
import type { EventSink } from '../stream/event-sink.ts';
import type { WireEncoder, WireName } from '../stream/projection.ts';
import type { WireEvent } from '../stream/events/wire-event.ts';
import type { Identity } from './auth/identity.ts';
import type { TokenVerifier } from './auth/token-verifier.ts';
import type { Connection, Connections } from './connections/connections.ts';
import type { EventStreams } from './event-streams.ts';
import { enter, type Admission, type CountedConnection } from './limits/admission.ts';

/** In ms. No request waits longer than this for the end of a run. The fetch of Node gives up a request without the head
 *  of an answer after 300 s, and the clients above it then repeat the request. */
export const ANSWER_WAIT_MS = 240_000;

export interface RunWaitsDeps {
  readonly admission: Admission;
  readonly connections: Connections;
  readonly streams: EventStreams;
  readonly tokens: Pick<TokenVerifier, 'isStillGood'>;
  readonly clock: Clock;
}

export interface RunWait {
  readonly wire: WireName;
  readonly sessionId: string;
  readonly runId: string;
  readonly timeoutMs: number;
  /** Reads whether the run has ended; with `endsAtWait` also whether it waits, or the leg of the request is over. */
  readonly hasEnded: () => Promise<boolean>;
  /** The wait also ends where the run asks a human. Default: only at the end of the run. */
  readonly endsAtWait?: boolean;
}

export class RunWaits {
  readonly #deps: RunWaitsDeps;
  /** Requests whose connection is counted. */
  readonly #reserved = new WeakSet<FastifyRequest>();

  constructor(deps: RunWaitsDeps) {
    this.#deps = deps;
  }

  /** For a request that sends a prompt and waits for its end: counts the connection before the prompt is sent, so that
   *  the wait is not refused behind the prompt. The caller releases it.
   *  @throws GatewayError node-full, too-many */
  reserve(request: FastifyRequest, identity: Identity): CountedConnection {
    const { admission, streams } = this.#deps;
    streams.mustHaveRoom(identity);
    const counted = enter(admission, request, identity);
    this.#reserved.add(request);
    return counted;
  }

  /** The same until the request is answered, or its connection ends. @throws as `reserve` */
  reserveUntilAnswered(request: FastifyRequest, reply: FastifyReply, identity: Identity): void {
    const counted = this.reserve(request, identity);
    const { socket } = request.raw;
    const release = (): void => {
      socket.removeListener('close', release);
      counted.release();
    };
    reply.raw.once('close', release);
    // An answer that waits behind others of its connection emits no event when the connection ends.
    socket.once('close', release);
    if (socket.destroyed) release();
  }

  /** Resolves when the run has ended or the wait is over; the caller reads which. @throws GatewayError draining,
   *  node-full, too-many; SessionError not-found */
  async wait(request: FastifyRequest, identity: Identity, wait: RunWait): Promise<void> {
    const { admission, connections, streams, tokens, clock } = this.#deps;
    const hasRoom = this.#reserved.has(request);
    const counted = hasRoom ? undefined : enter(admission, request, identity);
    try {
      // The position is read before the run: a run that has not ended then ends behind the position.
      const start = await streams.start(identity, wait.sessionId, { after: 'latest', cursor: undefined, hasRoom });
      if (await wait.hasEnded()) return;
      const waiting = new Waiting(wait.wire, () => tokens.isStillGood(identity));
      const { socket } = request.raw;
      const stop = (): void => waiting.destroy();
      const timer = clock.after(wait.timeoutMs, stop);
      socket.once('close', stop);
      connections.add(waiting);
      if (socket.destroyed) stop();
      try {
        await streams.run({
          start: { ...start, isResuming: false },
          wire: wait.wire,
          encoder: new RunEndEncoder(wait.runId, wait.endsAtWait === true),
          sink: waiting,
          signal: waiting.signal,
          onReset: 'close',
          until: 'forever',
        });
      } finally {
        connections.remove(waiting);
        socket.removeListener('close', stop);
        timer.cancel();
      }
    } finally {
      counted?.release();
    }
  }
}

class Waiting implements EventSink, Connection {
  readonly wire: WireName;
  readonly bufferedBytes = 0;
  readonly signal = new StopController();
  readonly #isTokenGood: () => boolean;

  constructor(wire: WireName, isTokenGood: () => boolean) {
    this.wire = wire;
    this.#isTokenGood = isTokenGood;
  }

  write(): void {
    // The encoder sends nothing.
  }

  onceDrained(callback: () => void): void {
    setImmediate(callback);
  }

  end(): void {
    this.destroy();
  }

  onPulse(): void {
    if (!this.#isTokenGood()) this.destroy();
  }

  askToReconnect(): void {
    this.destroy();
  }

  destroy(): void {
    this.signal.abort();
  }
}

/** Is over at the terminal event of one run, or where it waits. */
class RunEndEncoder implements WireEncoder {
  readonly key = undefined;
  over: WireEncoder['over'];
  readonly #runId: string;
  readonly #endsAtWait: boolean;

  constructor(runId: string, endsAtWait: boolean) {
    this.#runId = runId;
    this.#endsAtWait = endsAtWait;
  }

  encodeEvents(_epoch: string, events: readonly WireEvent[]): string {
    for (const { type, json } of events) {
      if (!TERMINALS.has(type) && !(this.#endsAtWait && type === 'run.waiting')) continue;
      const event = parseEvent(type, json);
      if ('runId' in event && event.runId === this.#runId) this.over = 'end';
    }
    return '';
  }

  encodeControl(): string {
    return '';
  }
}

const TERMINALS: ReadonlySet<string> = new Set(['run.completed', 'run.failed', 'run.cancelled']);
