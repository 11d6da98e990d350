// The items of a Response.
import type { RunView } from '../../../stream/run/run-view.ts';
import type { Fields } from '../refused-parameter.ts';
import { inputsOf, partsOf } from '../../../stream/run/run-leg.ts';
import { inputFields, isOwnItem } from '../run-leg.ts';
import { itemId, itemKind, statusOf, type AnsweredPart, type ItemKind, type ItemStatus } from '../answer-items.ts';

export interface TextContent {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly [];
  readonly logprobs: readonly [];
}

export interface ReasoningContent {
  readonly type: 'reasoning_text';
  readonly text: string;
}

export interface OutputItem {
  readonly type: ItemKind;
  readonly id: string;
  readonly [field: string]: unknown;
}

export function textContent(text: string): TextContent {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

export function reasoningContent(text: string): ReasoningContent {
  return { type: 'reasoning_text', text };
}

export interface OutputItemState {
  readonly id: string;
  readonly status: ItemStatus;
  /** The item has no content yet, as when it is added. */
  readonly isEmpty?: boolean | undefined;
  /** That executes the calls of the answer. */
  readonly agent: string;
}

export function outputItem(part: AnsweredPart, { id, status, isEmpty = false, agent }: OutputItemState): OutputItem {
  const { text, toolCallId: call_id = '', toolName: name = '', outcome } = part;
  const type = itemKind(part);
  switch (type) {
    case 'message':
      return { type, id, status, role: 'assistant', content: isEmpty ? [] : [textContent(text)] };
    case 'reasoning':
      return { type, id, status, summary: [], content: isEmpty ? [] : [reasoningContent(text)] };
    case 'function_call':
      return { type, id, status, call_id, name, arguments: text };
    case 'mcp_call': {
      const call = { type, id, server_label: agent, name, arguments: text, approval_request_id: null };
      return { ...call, ...mcpOutcome(outcome, status) };
    }
    default:
      return type satisfies never;
  }
}

function mcpOutcome(outcome: AnsweredPart['outcome'], status: ItemStatus): Readonly<Record<string, unknown>> {
  if (outcome === undefined) return { status, output: null, error: null };
  const { result, error } = outcome;
  if (error !== undefined) return { status: 'failed', output: null, error };
  return {
    status: 'completed',
    output: typeof result === 'string' ? result : JSON.stringify(result ?? null),
    error: null,
  };
}

/** All items of a leg: its parts, and what it asks for.
 *  `idOf`: the id of a part's item where it is not the usual one. */
export function outputItems(view: RunView, leg: number, idOf?: (part: number) => string | undefined): Fields[] {
  const [first, end] = partsOf(view, leg);
  const items = view.parts.slice(first, end).map((part, i) => {
    const index = first + i;
    const id = idOf?.(index) ?? itemId(itemKind(part), view.runId, index);
    const answered = { ...part, text: part.text.toString(), outcome: view.results.get(part.toolCallId ?? '') };
    return outputItem(answered, { id, status: statusOf(view, index), agent: view.agent ?? '' });
  });
  const asked = inputsOf(view, leg).filter(isOwnItem);
  return [...items, ...asked.map((input) => inputFields(view, input))];
}
