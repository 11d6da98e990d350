// Which result of a call, or which approval, answers an input of a run that waits. Pure.
import type { InputReply } from '../../session/events/wait-events.ts';
import type { ViewedInput } from '../../stream/run/run-inputs.ts';
import type { AskedApproval, AskedResult } from './asked-prompt.ts';

export interface LegReply {
  readonly inputId: string;
  readonly reply: InputReply;
}

/** Undefined: none of them. A question has the id of its input for that of its call. */
export function replyTo(
  { request }: ViewedInput,
  results: readonly AskedResult[],
  approvals: readonly AskedApproval[],
): LegReply | undefined {
  const { inputId, kind, toolCallId, schema } = request;
  if (kind === 'approval') {
    const approval = approvals.find((one) => one.inputId === inputId);
    if (approval === undefined) return undefined;
    const { approved, reason } = approval;
    return { inputId, reply: { approved, ...(reason === undefined ? {} : { reason }) } };
  }
  const callId = kind === 'question' ? inputId : toolCallId;
  const given = results.find((one) => one.toolCallId === callId);
  if (given === undefined) return undefined;
  const { result } = given;
  return { inputId, reply: kind === 'tool' ? { result } : { value: valueOf(result, schema) } };
}

/** The result of a call is a text: with a schema of something else it is the JSON of the value. */
function valueOf(result: unknown, schema: unknown): unknown {
  if (typeof result !== 'string' || typeof schema !== 'object' || schema === null) return result;
  if ('type' in schema && schema.type === 'string') return result;
  try {
    return JSON.parse(result) as unknown;
  } catch {
    // The check against the schema refuses it, or takes the text.
    return result;
  }
}
