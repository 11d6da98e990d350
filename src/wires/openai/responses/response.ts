// A Response: the run and its answer so far as one object.
import type { RunView } from '../../../stream/run/run-view.ts';
import { secondsOf } from '../event-time.ts';
import { incompleteReason } from '../finish-reason.ts';
import { responseId } from '../ids.ts';
import { modelName } from '../models.ts';
import type { OutputItem } from './response-items.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'failed' | 'cancelled' | 'incomplete';

export interface ResponseObject {
  readonly id: string;
  readonly object: 'response';
  readonly status: ResponseStatus;
  readonly output: readonly OutputItem[];
  readonly [field: string]: unknown;
}

/** Every response runs in the background: no request that ends stops it. */
export function responseOf(view: RunView, sessionId: string, output: readonly OutputItem[]): ResponseObject {
  const reason = view.state === 'completed' ? incompleteReason(view.finishReason) : undefined;
  return {
    id: responseId({ runId: view.runId, sessionId }),
    object: 'response',
    created_at: secondsOf(view.createdAt),
    status: responseStatus(view),
    background: true,
    ...(view.state === 'completed' ? { completed_at: secondsOf(view.endedAt) } : {}),
    conversation: { id: sessionId },
    error: errorOf(view),
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
    usage: usageOf(view),
    user: null,
  };
}

export function responseStatus({ state, finishReason }: RunView): ResponseStatus {
  if (state === 'running') return 'in_progress';
  if (state === 'waiting') return 'in_progress';
  return state === 'completed' && incompleteReason(finishReason) !== undefined ? 'incomplete' : state;
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
