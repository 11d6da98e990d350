// Results of calls and approvals that a request has for a run that waits. They answer it, and the answer to the request
// is the next leg of that run. Results that nothing waits for are a prompt.
import type { FastifyRequest } from 'fastify';
import { isSessionError } from '../../../session/errors.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { isSessionId } from '../../../session/session-ref.ts';
import type { WireName } from '../../../stream/projection.ts';
import { isSettled, type ViewedInput } from '../../../stream/run/run-inputs.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import type { AskedConversation } from '../../../wires/openai/asked-prompt.ts';
import type { RunInSession } from '../../../wires/openai/ids.ts';
import { replyTo, type LegReply } from '../../../wires/openai/leg-replies.ts';
import { inputsOf } from '../../../stream/run/run-leg.ts';
import { requireWrite, type Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import { identityOf } from '../../http/http-app.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import type { ReadyPrompt } from './prompts.ts';
import { refusal } from './refusals.ts';
import { RunAnswers, type RunAnswersDeps } from './run-answers.ts';

export interface WaitingAnswersDeps extends RunAnswersDeps {
  readonly commands: ChatCommands;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

export interface AskedAnswers {
  readonly conversation: AskedConversation;
  readonly sessionId: string | undefined;
  /** The run and its leg that the request continues; undefined: what the session waits for. */
  readonly after?: string | undefined;
  readonly afterLeg?: number | undefined;
}

export class WaitingAnswers {
  readonly #deps: WaitingAnswersDeps;
  readonly #answers: RunAnswers;

  constructor(deps: WaitingAnswersDeps, wire: WireName) {
    this.#deps = deps;
    this.#answers = new RunAnswers(deps, wire);
  }

  /** `prompt`: what the request is where it answers nothing. @throws as `prompt` */
  orPrompt(request: FastifyRequest, asked: AskedAnswers, prompt: () => ReadyPrompt): ReadyPrompt {
    const { conversation, sessionId } = asked;
    if (!('toolResults' in conversation.prompt)) return prompt();
    const hasApprovals = (conversation.approvals ?? []).length > 0;
    // An answer needs no model, and no key: the same answer again has the same reply.
    const ready = hasApprovals ? undefined : prompt();
    return {
      send: async (reply) => {
        const next = sessionId === undefined ? undefined : await this.#answer(request, sessionId, asked);
        if (next !== undefined) return next;
        if (ready === undefined) throw refusal('input', 'no response asks for this approval');
        return ready.send(reply);
      },
    };
  }

  /** Undefined: the session waits for none of them, and never did in its last run. @throws SessionError not-waiting,
   *  already-answered, invalid-answer; GatewayError invalid-request: something that the leg asks for has no answer */
  async #answer(request: FastifyRequest, sessionId: string, asked: AskedAnswers): Promise<RunInSession | undefined> {
    const identity = identityOf(request);
    requireWrite(identity);
    const view = await this.#asking(request, identity, sessionId, asked);
    if (view === undefined) return undefined;
    const found = repliesOf(view, asked);
    if (found === undefined) return undefined;
    await this.#deps.commands.answerInputs(identity, sessionId, found.replies);
    return { runId: view.runId, sessionId, leg: found.leg + 1 };
  }

  async #asking(
    request: FastifyRequest,
    identity: Identity,
    sessionId: string,
    { after }: AskedAnswers,
  ): Promise<RunView | undefined> {
    const runId = after ?? (await this.#lastRun(identity, sessionId));
    if (runId === undefined) return undefined;
    const view = await this.#answers.readNow(request, { runId, sessionId }, true);
    return view.inputs.length === 0 ? undefined : view;
  }

  /** The run that is or was at work last. */
  async #lastRun(identity: Identity, sessionId: string): Promise<string | undefined> {
    const { sessions, sessionIds } = this.#deps;
    const { principal } = identity;
    if (!isSessionId(sessionId)) return undefined;
    try {
      const ref = await sessionIds.find(identity, sessionId);
      const { state } = await sessions.authorize(principal, ref);
      const [first] = state.runs;
      if (first !== undefined) return first.runId;
      const { runs } = await sessions.runs(principal, ref, 1, undefined);
      return runs[0]?.runId;
    } catch (error) {
      if (isSessionError(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

interface Found {
  readonly leg: number;
  readonly replies: readonly LegReply[];
}

/** Undefined: no leg asked for any of them. @throws GatewayError invalid-request */
function repliesOf(view: RunView, { conversation, afterLeg }: AskedAnswers): Found | undefined {
  const { prompt, approvals = [] } = conversation;
  const results = 'toolResults' in prompt ? prompt.toolResults : [];
  const given = (input: ViewedInput): LegReply | undefined => replyTo(input, results, approvals);
  const leg = afterLeg ?? view.inputs.findLast((input) => given(input) !== undefined)?.leg;
  if (leg === undefined) return undefined;
  const inputs = inputsOf(view, leg);
  if (inputs.length === 0) return undefined;
  const replies = inputs.flatMap((input) => given(input) ?? []);
  if (replies.length < results.length + approvals.length)
    throw refusal('input', 'a result or an approval is for nothing that the run asked for');
  const missing = inputs.find((input) => !isSettled(input) && given(input) === undefined);
  if (missing !== undefined)
    throw refusal(
      'input',
      `the run also waits for ${missing.request.toolCallId ?? missing.request.inputId}: answer all of it together`,
    );
  return { leg, replies };
}
