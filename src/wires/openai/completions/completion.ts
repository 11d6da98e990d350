// A Chat Completion: the answer of one run as one object.
import type { ViewedPart } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { isSettled, type ViewedInput } from '../../../stream/run/run-inputs.ts';
import { secondsOf } from '../event-time.ts';
import { completionFinish, type CompletionFinish } from '../finish-reason.ts';
import { completionId } from '../ids.ts';
import { modelName } from '../models.ts';
import { inputsOf, partsOf } from '../../../stream/run/run-leg.ts';
import { legState, QUESTION_TOOL, questionCall } from '../run-leg.ts';

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

export function completionHead(view: RunView, sessionId: string, leg: number): CompletionHead {
  return {
    id: completionId({ runId: view.runId, sessionId, leg }),
    created: secondsOf(view.createdAt),
    model: modelName(view.agent ?? '', view.model ?? ''),
  };
}

/** The completion of a leg that has ended with what it asks for, or with its run, which has completed. */
export function completionOf(view: RunView, sessionId: string, leg: number): Completion {
  const { id, created, model } = completionHead(view, sessionId, leg);
  const [first, end] = partsOf(view, leg);
  const parts = view.parts.slice(first, end);
  const content = textOf(parts, 'text');
  const reasoning = textOf(parts, 'reasoning');
  const questions = inputsOf(view, leg).filter(({ request }) => request.kind === 'question');
  const calls = [...parts.filter(isClientCall).map(toolCallOf), ...questions.map(questionToolCall)];
  const isWhole = legState(view, leg) === 'completed';
  const usage = isWhole ? completionUsage(view) : undefined;
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
        finish_reason: completionFinish(isWhole ? view.finishReason : undefined, calls.length),
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

export function questionToolCall(input: ViewedInput): CompletionToolCall {
  const { id, arguments: given } = questionCall(input.request);
  return { id, type: 'function', function: { name: QUESTION_TOOL, arguments: given } };
}

/** The protocol has no word for an approval. The answer to it comes over another protocol. */
export function needsApproval(view: RunView, leg: number): boolean {
  return inputsOf(view, leg).some((input) => input.request.kind === 'approval' && !isSettled(input));
}

export function approvalError(view: RunView, sessionId: string, leg: number): { code: string; message: string } {
  const id = completionId({ runId: view.runId, sessionId, leg: leg + 1 });
  const message = `the run waits for an approval, which another protocol gives: read then the completion ${id}`;
  return { code: 'input-required', message };
}

function textOf(parts: readonly ViewedPart[], kind: ViewedPart['kind']): string {
  return parts.map((part) => (part.kind === kind ? part.text.toString() : '')).join('');
}
