// A wait as chunks of a UI message stream: an approval is a request beside its call, a question is a call of
// `ask_user`, and each answer is the outcome of its call. Pure.
import type { RunView } from '../../stream/run/run-view.ts';
import type { ViewedInput } from '../../stream/run/run-inputs.ts';
import type { Chunk } from './chunk.ts';

/** The tool that a question without a call is a call of. */
export const ASK_USER = 'ask_user';

/** The call that an input is about: of the answer, or else one that only this wire has. */
export function callOfInput({ request }: ViewedInput, view: RunView): { toolCallId: string; isOwn: boolean } {
  const { toolCallId, inputId } = request;
  const isOwn = toolCallId !== undefined && view.parts.some((part) => part.toolCallId === toolCallId);
  return { toolCallId: isOwn ? toolCallId : inputId, isOwn };
}

export function requestOf(input: ViewedInput, view: RunView): readonly Chunk[] {
  const { inputId, kind, toolName = ASK_USER, message, schema, choices } = input.request;
  const { toolCallId, isOwn } = callOfInput(input, view);
  const chunks: Chunk[] = [];
  if (!isOwn) {
    const call = { toolCallId, toolName, dynamic: true };
    const asked = { ...(message !== undefined && { message }), ...(schema && { schema }), ...(choices && { choices }) };
    chunks.push({ type: 'tool-input-start', ...call }, { type: 'tool-input-available', ...call, input: asked });
  }
  if (kind === 'approval') chunks.push({ type: 'tool-approval-request', approvalId: inputId, toolCallId });
  return chunks;
}

/** The result of a call that the client executes, and of an approved call, is a chunk of its own. */
export function replyOf(input: ViewedInput, view: RunView): readonly Chunk[] {
  const { toolCallId, isOwn } = callOfInput(input, view);
  const { reply, closed, request } = input;
  const isApproval = request.kind === 'approval';
  if (isApproval && reply?.approved !== true) return [{ type: 'tool-output-denied', toolCallId }];
  const output = { toolCallId, dynamic: true };
  if (reply === undefined) return [{ type: 'tool-output-error', ...output, errorText: `no answer: ${closed ?? ''}` }];
  if (isApproval) return isOwn ? [] : [{ type: 'tool-output-available', ...output, output: { approved: true } }];
  if (request.kind === 'tool' && isOwn) return [];
  if (reply.error !== undefined) return [{ type: 'tool-output-error', ...output, errorText: reply.error }];
  return [{ type: 'tool-output-available', ...output, output: reply.value ?? reply.result ?? null }];
}
