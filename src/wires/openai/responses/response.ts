// A Response: the run and its answer so far as one object.
import type { RunView } from '../../../stream/run/run-view.ts';
import { secondsOf } from '../event-time.ts';
import { incompleteReason } from '../finish-reason.ts';
import { responseId } from '../ids.ts';
import { modelName } from '../models.ts';
import type { Fields } from '../refused-parameter.ts';
import { inputsOf } from '../../../stream/run/run-leg.ts';
import { legState } from '../run-leg.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'failed' | 'cancelled' | 'incomplete';

export interface ResponseObject {
  readonly id: string;
  readonly object: 'response';
  readonly status: ResponseStatus;
  readonly output: readonly Fields[];
  readonly [field: string]: unknown;
}

/** Every response runs in the background: no request that ends stops it. */
export function responseOf(view: RunView, sessionId: string, leg: number, output: readonly Fields[]): ResponseObject {
  const state = legState(view, leg);
  const reason = state === 'completed' ? incompleteReason(view.finishReason) : undefined;
  const completedAt = state === 'asked' ? inputsOf(view, leg).at(-1)?.request.createdAt : view.endedAt;
  return {
    id: responseId({ runId: view.runId, sessionId, leg }),
    object: 'response',
    created_at: secondsOf(view.createdAt),
    status: responseStatus(view, leg),
    background: true,
    ...(state === 'completed' || state === 'asked' ? { completed_at: secondsOf(completedAt) } : {}),
    conversation: { id: sessionId },
    error: state === 'failed' ? errorOf(view) : null,
    incomplete_details: reason === undefined ? null : { reason },
    instructions: null,
    max_output_tokens: null,
    metadata: {},
    model: modelName(view.agent ?? '', view.model ?? ''),
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: true,
    temperature: null,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    truncation: 'disabled',
    usage: state === 'asked' ? null : usageOf(view),
    user: null,
  };
}

/** A leg that asks for something is complete. */
export function responseStatus(view: RunView, leg: number): ResponseStatus {
  const state = legState(view, leg);
  if (state === 'running') return 'in_progress';
  if (state === 'asked') return 'completed';
  return state === 'completed' && incompleteReason(view.finishReason) !== undefined ? 'incomplete' : state;
}

function errorOf({ state, error }: RunView): { readonly code: string; readonly message: string } | null {
  return state === 'failed' && error !== undefined
    ? { code: 'server_error', message: `${error.message} (${error.code})` }
    : null;
}

/** Null if the provider reported none. Clients read the details without a check, and providers report none. */
function usageOf({ usage }: RunView): Readonly<Record<string, unknown>> | null {
  if (usage === undefined) return null;
  const { inputTokens, outputTokens } = usage;
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}
