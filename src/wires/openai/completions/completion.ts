// A Chat Completion: the answer of one run as one object.
import type { ViewedPart } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { secondsOf } from '../event-time.ts';
import { completionFinish, type CompletionFinish } from '../finish-reason.ts';
import { completionId } from '../ids.ts';
import { modelName } from '../models.ts';

export interface CompletionHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export interface CompletionUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

export interface CompletionToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface Completion extends CompletionHead {
  readonly object: 'chat.completion';
  readonly choices: readonly {
    readonly index: 0;
    readonly message: {
      readonly role: 'assistant';
      readonly content: string | null;
      readonly refusal: null;
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly CompletionToolCall[];
    };
    readonly logprobs: null;
    readonly finish_reason: CompletionFinish;
  }[];
  readonly usage?: CompletionUsage;
}

export function completionHead(view: RunView, sessionId: string): CompletionHead {
  return {
    id: completionId({ runId: view.runId, sessionId }),
    created: secondsOf(view.createdAt),
    model: modelName(view.agent ?? '', view.model ?? ''),
  };
}

/** The completion of a run that has completed. */
export function completionOf(view: RunView, sessionId: string): Completion {
  const { id, created, model } = completionHead(view, sessionId);
  const content = textOf(view, 'text');
  const reasoning = textOf(view, 'reasoning');
  const calls = view.parts.filter(isClientCall).map(toolCallOf);
  const usage = completionUsage(view);
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: content === '' && calls.length > 0 ? null : content,
          refusal: null,
          ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        },
        logprobs: null,
        finish_reason: completionFinish(view.finishReason, calls.length),
      },
    ],
    ...(usage === undefined ? {} : { usage }),
  };
}

/** Undefined if the provider reported none. */
export function completionUsage({ usage }: RunView): CompletionUsage | undefined {
  if (usage === undefined) return undefined;
  const { inputTokens, outputTokens } = usage;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

/** A call that the client has to execute. A call that the agent executes is no business of the client: its helpers
 *  would run the tool again. */
export function isClientCall({ kind, executor }: ViewedPart): boolean {
  return kind === 'tool-call' && executor !== 'agent';
}

function toolCallOf({ toolCallId = '', toolName = '', text }: ViewedPart): CompletionToolCall {
  return { id: toolCallId, type: 'function', function: { name: toolName, arguments: text.toString() } };
}

function textOf({ parts }: RunView, kind: ViewedPart['kind']): string {
  return parts.map((part) => (part.kind === kind ? part.text.toString() : '')).join('');
}
