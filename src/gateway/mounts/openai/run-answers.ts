// Reads the answer of a run for requests that are answered with one object: as it is now, or once the run has ended.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RunView } from '../../../stream/run/run-view.ts';
import type { WireName } from '../../../stream/projection.ts';
import { SessionError } from '../../../session/errors.ts';
import type { RunInSession } from '../../../wires/openai/ids.ts';
import { hasLeg } from '../../../wires/openai/run-leg.ts';
import type { EventStreams } from '../../event-streams.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf } from '../../http/http-app.ts';
import { readRun } from '../../run-reads.ts';
import { ANSWER_WAIT_MS, type RunWaits } from '../../run-waits.ts';
import type { ReadyPrompt } from './prompts.ts';

export interface RunAnswersDeps {
  readonly runWaits: RunWaits;
  readonly streams: EventStreams;
}

/** Seconds after which the client gives up and repeats its request. The client library sends them where its caller has
 *  chosen them for a request; that of Python always. */
const TIMEOUT_HEADERS = ['x-stainless-timeout', 'x-stainless-read-timeout'];
/** The part of the client's time that a wait takes. */
const WAIT_PART = 0.8;

export class RunAnswers {
  readonly #deps: RunAnswersDeps;
  readonly #wire: WireName;

  constructor(deps: RunAnswersDeps, wire: WireName) {
    this.#deps = deps;
    this.#wire = wire;
  }

  /** Sends a prompt for a request that waits for its answer. The limits of connections are checked before: a refused
   *  client may repeat its request, but behind the prompt it must not. */
  async send(request: FastifyRequest, reply: FastifyReply, prompt: ReadyPrompt): Promise<RunInSession> {
    this.#deps.runWaits.reserveUntilAnswered(request, reply, identityOf(request));
    const run = await prompt.send(reply);
    reply.headers(runHeaders(run));
    return run;
  }

  /** @throws SessionError not-found, run-not-found, chat-damaged; GatewayError draining, node-full, too-many */
  async readNow(request: FastifyRequest, { runId, sessionId }: RunInSession, hasRoom = false): Promise<RunView> {
    const start = await this.#deps.streams.startAtRun(identityOf(request), sessionId, runId, { hasRoom });
    return readRun(this.#deps.streams, request, { start, wire: this.#wire });
  }

  /** One leg of a run. @throws as `readNow`; SessionError run-not-found: nothing has begun the leg */
  async readLeg(request: FastifyRequest, run: RunInSession): Promise<RunView> {
    const view = await this.readNow(request, run);
    if (!hasLeg(view, run.leg ?? 0)) throw new SessionError('run-not-found');
    return view;
  }

  /** The leg has ended. @throws as `readNow`; GatewayError request-timeout: it has not ended */
  async readAtEnd(request: FastifyRequest, { leg = 0, ...run }: RunInSession): Promise<RunView> {
    const hasEnded = async (): Promise<boolean> => (await this.readNow(request, run, true)).isLegOver(leg);
    const wait = { ...run, wire: this.#wire, timeoutMs: waitMsOf(request), hasEnded, endsAtWait: true };
    await this.#deps.runWaits.wait(request, identityOf(request), wait);
    const view = await this.readNow(request, run, true);
    if (!view.isLegOver(leg))
      throw new GatewayError('request-timeout', { message: 'the run continues: read it by its id' });
    return view;
  }
}

function waitMsOf({ headers }: FastifyRequest): number {
  const given = TIMEOUT_HEADERS.map((name) => Number(headers[name]) * 1_000 * WAIT_PART);
  return given.reduce((least, ms) => (ms > 0 && ms < least ? ms : least), ANSWER_WAIT_MS);
}

export function runHeaders({ runId, sessionId }: RunInSession): Readonly<Record<string, string>> {
  return { 'x-run-id': runId, 'x-session-id': sessionId };
}
