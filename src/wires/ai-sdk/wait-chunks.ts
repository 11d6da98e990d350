// A wait as chunks of a UI message stream: an approval is a request beside its call, a question is a call of
// `ask_user`, and each answer is the outcome of its call. Pure.
import type { InputKind, InputReply, InputRequested } from '../../session/events/wait-events.ts';
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

/** What a question shows, as the input of its call. */
export function askedInput({ message, schema, choices }: Omit<InputRequested, 'type' | 'runId'>): object {
  return { ...(message !== undefined && { message }), ...(schema && { schema }), ...(choices && { choices }) };
}

export function requestOf(input: ViewedInput, view: RunView): readonly Chunk[] {
  const { inputId, kind, toolName = ASK_USER } = input.request;
  const { toolCallId, isOwn } = callOfInput(input, view);
  const chunks: Chunk[] = [];
  if (!isOwn) {
    const call = { toolCallId, toolName, dynamic: true };
    chunks.push(
      { type: 'tool-input-start', ...call },
      { type: 'tool-input-available', ...call, input: askedInput(input.request) },
    );
  }
  if (kind === 'approval') chunks.push({ type: 'tool-approval-request', approvalId: inputId, toolCallId });
  return chunks;
}

/** The result of a call that the client executes, and of an approved call, is a chunk of its own. */
export function replyOf(input: ViewedInput, view: RunView): readonly Chunk[] {
  const { toolCallId, isOwn } = callOfInput(input, view);
  const outcome = outcomeOf(input.request.kind, input, isOwn);
  if (outcome === undefined) return [];
  const { state, ...given } = outcome;
  return [{ type: `tool-${state}`, toolCallId, ...(state !== 'output-denied' && { dynamic: true }), ...given }];
}

export type CallOutcome =
  | { readonly state: 'output-denied' }
  | { readonly state: 'output-error'; readonly errorText: string }
  | { readonly state: 'output-available'; readonly output: unknown };

/** What a settled input makes of its call. Undefined: the result of the call comes by itself. `isOwn`: the call is one
 *  of the answer. */
export function outcomeOf(
  kind: InputKind,
  { reply, closed }: { readonly reply?: InputReply; readonly closed?: string },
  isOwn: boolean,
): CallOutcome | undefined {
  const isApproval = kind === 'approval';
  if (isApproval && reply?.approved !== true) return { state: 'output-denied' };
  if (reply === undefined) return { state: 'output-error', errorText: `no answer: ${closed ?? ''}` };
  if (isApproval) return isOwn ? undefined : { state: 'output-available', output: { approved: true } };
  if (kind === 'tool' && isOwn) return undefined;
  if (reply.error !== undefined) return { state: 'output-error', errorText: reply.error };
  return { state: 'output-available', output: reply.value ?? reply.result ?? null };
}
