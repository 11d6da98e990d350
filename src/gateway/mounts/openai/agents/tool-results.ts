// Results of calls that a client sends to an Agents session. A turn that has ended with calls for the client is
// followed by a turn with their results.
import type { FastifyRequest } from 'fastify';
import { isSessionError } from '../../../../session/errors.ts';
import type { InputRequested } from '../../../../session/events/wait-events.ts';
import type { NamedReply } from '../../../../session/waits/named-replies.ts';
import type { RunView } from '../../../../stream/run/run-view.ts';
import type { InputEvent } from '../../../../wires/openai/agents/input-events.ts';
import { agentsWire } from '../../../../wires/openai/agents/session-stream.ts';
import { itemKind } from '../../../../wires/openai/answer-items.ts';
import type { Identity } from '../../../auth/identity.ts';
import type { ChatCommands } from '../../../chat-commands.ts';
import { GatewayError } from '../../../gateway-error.ts';
import { identityOf } from '../../../http/http-app.ts';
import { RunAnswers, type RunAnswersDeps } from '../run-answers.ts';

export type ToolResultsDeps = RunAnswersDeps & { readonly commands: ChatCommands };

/** The client tries again where the message and the code are exactly these. */
export function unknownCall(callId: string): GatewayError {
  const details = { code: 'invalid_request_error' };
  return new GatewayError('invalid-request', { message: `Unknown pending tool call: ${callId}`, details });
}

export class ToolResults {
  readonly #answers: RunAnswers;
  readonly #commands: ChatCommands;

  constructor(deps: ToolResultsDeps) {
    this.#commands = deps.commands;
    this.#answers = new RunAnswers(deps, agentsWire.name);
  }

  /** The reply that a result is to what a turn asked for. The client library repeats a request whose reply was lost:
   *  the same result again is the same reply, also when the turn has gone on. Undefined if the turn did not ask for a
   *  call with this id. @throws SessionError; GatewayError */
  async replyOf(
    request: FastifyRequest,
    sessionId: string,
    event: Extract<InputEvent, { type: 'tool_result' }>,
  ): Promise<NamedReply | undefined> {
    const { turnId, callId, outcome } = event;
    const open = await this.#commands.openInputs(identityOf(request), sessionId);
    const input =
      open.find((one) => one.runId === turnId && asksFor(one, callId)) ??
      (await this.#read(request, sessionId, turnId))?.inputs
        .map((one) => one.request)
        .findLast((one) => asksFor(one, callId));
    if (input === undefined) return undefined;
    const isValue = input.kind === 'question' && 'result' in outcome;
    return { inputId: input.inputId, reply: isValue ? { value: outcome.result } : outcome };
  }

  /** Stores all answers of a request, or none. @throws SessionError; GatewayError invalid-request: no call waits for
   *  this approval */
  async answer(identity: Identity, sessionId: string, replies: readonly NamedReply[]): Promise<void> {
    await inWords(this.#commands.answerInputs(identity, sessionId, replies));
  }

  /** Stores nothing. @throws as `answer` */
  async check(identity: Identity, sessionId: string, replies: readonly NamedReply[]): Promise<void> {
    await inWords(this.#commands.checkAnswers(identity, sessionId, replies));
  }

  /** The run that the results follow. @throws GatewayError invalid-request: no such call waits for its result */
  async mustWait(
    request: FastifyRequest,
    sessionId: string,
    { turnId, callId }: Extract<InputEvent, { type: 'tool_result' }>,
  ): Promise<string> {
    const view = await this.#read(request, sessionId, turnId);
    const call = view?.parts.find((part) => part.toolCallId === callId && itemKind(part) === 'function_call');
    if (view?.state !== 'completed' || call === undefined || view.results.has(callId)) throw unknownCall(callId);
    return turnId;
  }

  async #read(request: FastifyRequest, sessionId: string, runId: string): Promise<RunView | undefined> {
    try {
      return await this.#answers.readNow(request, { runId, sessionId });
    } catch (error) {
      if (isSessionError(error, 'run-not-found')) return undefined;
      throw error;
    }
  }
}

/** A question has the id of its input for that of its call. */
function asksFor(
  { kind, inputId, toolCallId }: Pick<InputRequested, 'kind' | 'inputId' | 'toolCallId'>,
  callId: string,
): boolean {
  return kind === 'tool' ? toolCallId === callId : kind === 'question' && inputId === callId;
}

export function approvalReply({ requestId, decision }: Extract<InputEvent, { type: 'approval' }>): NamedReply {
  const reply = decision === 'cancel' ? { approved: false, reason: 'cancelled' } : { approved: decision === 'approve' };
  return { inputId: requestId, reply };
}

async function inWords(answered: Promise<unknown>): Promise<void> {
  try {
    await answered;
  } catch (error) {
    if (isSessionError(error, 'input-not-found')) throw unknownCall(error.inputId ?? '');
    throw error;
  }
}
