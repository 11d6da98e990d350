// Which run a request of AG-UI means: a new one, the one that answers its prompt now, the one that it asked for before,
// or another answer. A client sends all of this as the same request.
import type { FastifyRequest } from 'fastify';
import { traceOfRequest } from '../../../base/tracing.ts';
import { SessionError } from '../../../session/errors.ts';
import { answerIdOf, namedAnswer, type RunInput } from '../../../wires/ag-ui/run-input.ts';
import type { Identity } from '../../auth/identity.ts';
import type { GatewayParts } from '../../gateway-parts.ts';
import { readRun } from '../../run-reads.ts';

export type AgUiRunsDeps = Pick<GatewayParts, 'commands' | 'sessionIds' | 'sessions' | 'streams'>;

export class AgUiRuns {
  readonly #deps: AgUiRunsDeps;

  constructor(deps: AgUiRunsDeps) {
    this.#deps = deps;
  }

  /** The run that the request is sent the stream of. A prompt that the chat has is not stored again; one whose answers
   *  have ended gets another answer, except for a request that was made before, and for a client that holds a part of
   *  an answer. @throws GatewayError, SessionError */
  async find(request: FastifyRequest, identity: Identity, agent: string, input: RunInput): Promise<string> {
    const { threadId, runId, messageId, content, held } = input;
    const { commands } = this.#deps;
    const trace = traceOfRequest(request.headers['traceparent']);
    const requested = answerIdOf(messageId, runId);
    const sent = await commands.send(identity, threadId, { messageId, content, agent }, trace, requested);
    const open = (await this.#openRuns(identity, threadId)).filter((run) => run.messageId === messageId);
    const own = open.find(({ answerId }) => answerId === requested) ?? open.at(-1);
    if (own !== undefined) return own.runId;
    const wanted = held.map(namedAnswer).find((id) => id !== undefined) ?? requested;
    const first = await this.#answerIdOf(request, identity, threadId, sent.runId);
    if (first === wanted || held.some((id) => id === first || id.startsWith(`${first}.`))) return sent.runId;
    return (await commands.regenerate(identity, threadId, messageId, { answerId: wanted }, trace)).runId;
  }

  /** `runId`: of the request that began the run, or of the run. Undefined: the active run. @throws SessionError
   *  not-found, no-active-run */
  async cancel(identity: Identity, threadId: string, runId: string | undefined): Promise<{ runId: string }> {
    const { commands } = this.#deps;
    if (runId === undefined) return commands.cancel(identity, threadId, undefined);
    const run = (await this.#openRuns(identity, threadId)).find(
      (one) => one.runId === runId || one.answerId === answerIdOf(one.messageId, runId),
    );
    if (run === undefined) throw new SessionError('no-active-run');
    return commands.cancel(identity, threadId, run.runId);
  }

  /** The runs that have not ended. @throws SessionError not-found */
  async #openRuns(identity: Identity, sessionId: string) {
    const { sessionIds, sessions } = this.#deps;
    const { state } = await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
    return state.runs;
  }

  async #answerIdOf(request: FastifyRequest, identity: Identity, sessionId: string, runId: string): Promise<string> {
    const { streams } = this.#deps;
    const start = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    const view = await readRun(streams, request, { start, wire: 'ag-ui' });
    // Nothing was read, because the client is gone. It gets no other answer.
    if (view.queuedAt === undefined) throw new SessionError('run-not-found');
    return view.answerId ?? runId;
  }
}
