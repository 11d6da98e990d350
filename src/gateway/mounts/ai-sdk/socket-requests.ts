// What each frame of `WebSocketChatTransport` does: `send` and `resume` stream an answer, `abort` leaves it. The token
// of a frame decides for its request alone, so a bad one is answered and the socket serves on.
import { Compile } from 'typebox/compile';
import { traceOfRequest } from '../../../base/tracing.ts';
import { isSessionError } from '../../../session/errors.ts';
import type { ChunkOptions } from '../../../wires/ai-sdk/chunks.ts';
import type { Credentials } from '../../auth/credentials.ts';
import type { Identity } from '../../auth/identity.ts';
import { mapError } from '../../error-map.ts';
import type { EventStreams } from '../../event-streams.ts';
import { GatewayError } from '../../gateway-error.ts';
import type { ChatSocket } from './chat-socket.ts';
import { findAnswer, orNothing, type FindAnswerDeps } from './find-answer.ts';
import type { PendingStops } from './pending-stops.ts';
import {
  faultsOf,
  RefusedChatFrame,
  type AbortFrame,
  type ChatFrame,
  type ChatFrames,
  type ResumeFrame,
  type SendFrame,
} from './socket-frame.ts';
import { chatBody, mustBeSubmission, submitEither, type ChatBody, type SubmitDeps } from './submit.ts';

export interface SocketRequestsDeps extends SubmitDeps, FindAnswerDeps {
  readonly credentials: Credentials;
  readonly streams: EventStreams;
  readonly onDefect: (error: unknown) => void;
}

export interface SocketSettings {
  /** The address of the client, which pays for what is parsed before its user is known. */
  readonly address: string;
  /** Of the upgrade. Undefined: it had no credential. */
  readonly identity: Identity | undefined;
  readonly options: ChunkOptions;
  /** Undefined: an `abort` only leaves the answer. */
  readonly stops: PendingStops | undefined;
}

const body = Compile(chatBody);

export class SocketRequests {
  readonly #deps: SocketRequestsDeps;
  readonly #frames: ChatFrames;
  readonly #settings: SocketSettings;
  readonly #socket: ChatSocket;

  constructor(deps: SocketRequestsDeps, frames: ChatFrames, settings: SocketSettings, socket: ChatSocket) {
    this.#deps = deps;
    this.#frames = frames;
    this.#settings = settings;
    this.#socket = socket;
  }

  /** @throws GatewayError: final for the socket */
  async serve(text: string): Promise<void> {
    const frame = await this.#frames.parse(text, this.#socket.principal, this.#settings.address);
    try {
      if (frame instanceof RefusedChatFrame) throw frame.error;
      await this.#answer(frame);
    } catch (error) {
      if (mapError(error).isDefect) this.#deps.onDefect(error);
      // The client takes the error for the end of the request.
      this.#socket.detach(frame.requestId);
      this.#socket.replyError(frame.requestId, error);
    }
  }

  async #answer(frame: ChatFrame): Promise<void> {
    if (frame.type === 'abort') {
      this.#abort(frame);
      return;
    }
    if (this.#socket.isLive(frame.requestId)) throw invalid('requestId', 'another request has this id');
    const identity = await this.#identify(frame);
    this.#settings.stops?.forget(frame.id);
    this.#socket.mustHaveRoom();
    if (frame.type === 'send') await this.#send(frame, identity);
    else await this.#resume(frame, identity);
  }

  /** @throws GatewayError unauthenticated, token-expired, keys-unavailable, forbidden, too-many */
  async #identify({ headers }: SendFrame | ResumeFrame): Promise<Identity> {
    const authorization = headerOf(headers, 'authorization');
    const identity =
      authorization === undefined
        ? this.#settings.identity
        : await this.#deps.credentials.ofAuthorization(authorization);
    if (identity === undefined) throw new GatewayError('unauthenticated');
    this.#socket.authenticate(identity);
    return identity;
  }

  async #send(frame: SendFrame, identity: Identity): Promise<void> {
    const { streams } = this.#deps;
    const { requestId, id: sessionId } = frame;
    const asked = bodyOf(frame);
    const submission = mustBeSubmission(asked);
    streams.mustHaveRoom(identity);
    const trace = traceOfRequest(headerOf(frame.headers, 'traceparent'));
    const { runId, answered } = await submitEither(this.#deps, identity, asked, submission, trace);
    const start = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    const options = { ...this.#settings.options, answered };
    this.#socket.follow({ requestId, sessionId, kind: 'send', identity, start, options });
  }

  async #resume(frame: ResumeFrame, identity: Identity): Promise<void> {
    const { streams } = this.#deps;
    const { requestId, id: sessionId, lastSequence } = frame;
    if (lastSequence !== undefined) throw invalid('lastSequence', 'an answer is replayed from its start');
    const have = frame.body['have'];
    if (have !== undefined && typeof have !== 'string') throw invalid('body/have', 'must be string');
    const runId = await orNothing(() => findAnswer(this.#deps, identity, sessionId, have));
    const start =
      runId === undefined ? undefined : await orNothing(() => streams.startAtRun(identity, sessionId, runId));
    if (start === undefined) {
      this.#socket.reply({ type: 'no-active', requestId });
      return;
    }
    this.#socket.reply({ type: 'start', requestId });
    this.#socket.follow({ requestId, sessionId, kind: 'resume', identity, start, options: this.#settings.options });
  }

  #abort({ requestId }: AbortFrame): void {
    const request = this.#socket.detach(requestId);
    if (request?.kind !== 'send') return;
    const { identity, sessionId, start } = request;
    this.#settings.stops?.add(sessionId, () => void this.#stop(identity, sessionId, start.answer.runId));
  }

  /** Never rejects. */
  async #stop(identity: Identity, sessionId: string, runId: string): Promise<void> {
    try {
      await this.#deps.commands.cancel(identity, sessionId, runId);
    } catch (error) {
      // The run has ended meanwhile, or its chat is gone.
      if (!isSessionError(error, 'no-active-run') && !isSessionError(error, 'not-found')) this.#deps.onDefect(error);
    }
  }
}

/** The body that `POST /api/chat` would have. */
function bodyOf({ id, messages, trigger, messageId, body: more }: SendFrame): ChatBody {
  const asked = { ...more, id, messages, trigger, ...(messageId === undefined ? {} : { messageId }) };
  if (body.Check(asked)) return asked;
  throw new GatewayError('invalid-request', { details: faultsOf(body, asked, 'body') });
}

function headerOf(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.entries(headers).find(([one]) => one.toLowerCase() === name)?.[1];
}

function invalid(path: string, message: string): GatewayError {
  return new GatewayError('invalid-request', { message: `${path}: ${message}`, details: [{ path, message }] });
}
