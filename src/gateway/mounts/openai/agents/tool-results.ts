// Results of calls that a client sends to an Agents session. A turn that has ended with calls for the client is
// followed by a turn with their results.
import type { FastifyRequest } from 'fastify';
import { isSessionError } from '../../../../session/errors.ts';
import type { InputRequested } from '../../../../session/events/wait-events.ts';
import type { OpenInput } from '../../../../session/inputs.ts';
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

type ToolResult = Extract<InputEvent, { type: 'tool_result' }>;

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

  /** Of one request, whose results are placed with it. */
  turnsOf(request: FastifyRequest, sessionId: string): AskedTurns {
    return new AskedTurns(this.#answers, this.#commands, request, sessionId);
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
}

/** The turns that the results of one request are for. What waits is read once, and a turn once where its results come
 *  together: a request may have many, and a turn may be long. */
export class AskedTurns {
  readonly #answers: RunAnswers;
  readonly #commands: ChatCommands;
  readonly #request: FastifyRequest;
  readonly #sessionId: string;
  #open: Promise<readonly OpenInput[]> | undefined;
  /** The last one that was read. More would hold their answers in memory. */
  #turn: { readonly id: string; readonly view: Promise<RunView | undefined> } | undefined;

  constructor(answers: RunAnswers, commands: ChatCommands, request: FastifyRequest, sessionId: string) {
    this.#answers = answers;
    this.#commands = commands;
    this.#request = request;
    this.#sessionId = sessionId;
  }

  /** The reply that a result is to what a turn asked for. The client library repeats a request whose reply was lost:
   *  the same result again is the same reply, also when the turn has gone on. Undefined if the turn did not ask for a
   *  call with this id. @throws SessionError; GatewayError */
  async replyOf({ turnId, callId, outcome }: ToolResult): Promise<NamedReply | undefined> {
    this.#open ??= this.#commands.openInputs(identityOf(this.#request), this.#sessionId);
    const input =
      (await this.#open).find((one) => one.runId === turnId && asksFor(one, callId)) ??
      (await this.#read(turnId))?.inputs.map((one) => one.request).findLast((one) => asksFor(one, callId));
    if (input === undefined) return undefined;
    const isValue = input.kind === 'question' && 'result' in outcome;
    return { inputId: input.inputId, reply: isValue ? { value: outcome.result } : outcome };
  }

  /** The run that the results follow. @throws GatewayError invalid-request: no such call waits for its result */
  async mustWait({ turnId, callId }: ToolResult): Promise<string> {
    const view = await this.#read(turnId);
    const call = view?.parts.find((part) => part.toolCallId === callId && itemKind(part) === 'function_call');
    if (view?.state !== 'completed' || call === undefined || view.results.has(callId)) throw unknownCall(callId);
    return turnId;
  }

  #read(turnId: string): Promise<RunView | undefined> {
    if (this.#turn?.id !== turnId) this.#turn = { id: turnId, view: this.#readNow(turnId) };
    return this.#turn.view;
  }

  async #readNow(runId: string): Promise<RunView | undefined> {
    try {
      return await this.#answers.readNow(this.#request, { runId, sessionId: this.#sessionId });
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
