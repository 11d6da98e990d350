// Results of calls that a client sends to an Agents session. A turn that has ended with calls for the client is
// followed by a turn with their results.
import type { FastifyRequest } from 'fastify';
import { isSessionError } from '../../../../session/errors.ts';
import type { RunView } from '../../../../stream/run/run-view.ts';
import type { InputEvent } from '../../../../wires/openai/agents/input-events.ts';
import { agentsWire } from '../../../../wires/openai/agents/session-stream.ts';
import { itemKind } from '../../../../wires/openai/answer-items.ts';
import { GatewayError } from '../../../gateway-error.ts';
import { RunAnswers, type RunAnswersDeps } from '../run-answers.ts';

export type ToolResultsDeps = RunAnswersDeps;

/** The client tries again where the message and the code are exactly these. */
export function unknownCall(callId: string): GatewayError {
  const details = { code: 'invalid_request_error' };
  return new GatewayError('invalid-request', { message: `Unknown pending tool call: ${callId}`, details });
}

export class ToolResults {
  readonly #answers: RunAnswers;

  constructor(deps: ToolResultsDeps) {
    this.#answers = new RunAnswers(deps, agentsWire.name);
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
