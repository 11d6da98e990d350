// The fields of a prompt that a schema cannot check alone: its place, history, options and results. [PROTOCOL §3]
import { jsonBytesAtLeast } from '../base/json-text.ts';
import type { JsonObject, ToolOutcome } from '../session/events/chat-event.ts';
import { findGivenFault, type GivenMessage } from '../session/events/given-message.ts';
import { OPTIONS_BYTES_MAX } from '../session/events/run-options.ts';
import type { Prompt } from '../session/runs.ts';
import { GatewayError } from './gateway-error.ts';
import type { PromptBody } from './http/wire-schemas.ts';

/** UTF-8 bytes of the results of one prompt as JSON: they are part of one record. */
export const TOOL_RESULTS_BYTES_MAX = 512 * 1024;

/** Undefined fields are left out. The size of a history is checked when it is serialised.
 *  @throws GatewayError invalid-request, too-large */
export function checkedFields(
  body: Pick<PromptBody, 'messageId' | 'content' | 'replaces' | 'after' | 'history' | 'options' | 'toolResults'>,
): Pick<Prompt, 'replaces' | 'after' | 'history' | 'options' | 'toolResults'> {
  const { messageId, content, replaces, after, history = [], options = {}, toolResults } = body;
  if ([replaces, after, body.history].filter((place) => place !== undefined).length > 1)
    throw invalid('a prompt has one of replaces, after and history');
  if (content === undefined && toolResults === undefined) throw invalid('a prompt has content or toolResults');
  mustFit(options, OPTIONS_BYTES_MAX, 'the options of a prompt');
  checkHistory(history, messageId);
  checkResults(toolResults ?? []);
  return {
    ...(replaces === undefined ? {} : { replaces }),
    ...(after === undefined ? {} : { after }),
    ...(history.length === 0 ? {} : { history }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
    ...(toolResults === undefined ? {} : { toolResults }),
  };
}

function checkResults(results: readonly ToolOutcome[]): void {
  mustFit(results, TOOL_RESULTS_BYTES_MAX, 'the results of a prompt');
  results.forEach(({ toolCallId, result, error }, i) => {
    if ((result === undefined) === (error === undefined)) throw invalid(`toolResults/${i} has a result or an error`);
    if (results.findIndex((one) => one.toolCallId === toolCallId) < i)
      throw invalid(`toolResults/${i} is another result of the same call`);
  });
}

function checkHistory(history: readonly GivenMessage[], promptId: string | undefined): void {
  const ids = new Set(promptId === undefined ? [] : [promptId]);
  history.forEach((message, i) => {
    const fault = findGivenFault(message, i, ids);
    if (fault !== undefined) throw invalid(`history/${i}: ${fault}`);
  });
}

function mustFit(value: JsonObject | object, bytesMax: number, what: string): void {
  if (jsonBytesAtLeast(value) > bytesMax || Buffer.byteLength(JSON.stringify(value)) > bytesMax)
    throw new GatewayError('too-large', { message: `${what} has at most ${bytesMax} bytes` });
}

function invalid(message: string): GatewayError {
  return new GatewayError('invalid-request', { message });
}
