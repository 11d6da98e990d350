// The items of a Response: each part of an answer is one item. A call that the agent executes itself is a call of an
// MCP server with the agent's name, so that clients show it and do not execute it.
import type { ViewedPart } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { incompleteReason } from '../finish-reason.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

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

export type ItemKind = 'message' | 'reasoning' | 'function_call' | 'mcp_call';

export interface OutputItem {
  readonly type: ItemKind;
  readonly id: string;
  readonly [field: string]: unknown;
}

const PREFIXES: Readonly<Record<ItemKind, string>> = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  mcp_call: 'mcp',
};

export function itemKind({ kind, executor }: Pick<ViewedPart, 'kind' | 'executor'>): ItemKind {
  if (kind === 'text') return 'message';
  if (kind === 'reasoning') return 'reasoning';
  return executor === 'agent' ? 'mcp_call' : 'function_call';
}

/** `name`: tells the items of one run apart. */
export function itemId(kind: ItemKind, runId: string, name: number | string): string {
  return `${PREFIXES[kind]}_${runId}_${name}`;
}

export function textContent(text: string): TextContent {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

export function reasoningContent(text: string): ReasoningContent {
  return { type: 'reasoning_text', text };
}

export interface ItemState {
  readonly id: string;
  readonly text: string;
  readonly status: ItemStatus;
  /** The item has no content yet, as when it is added. */
  readonly isEmpty?: boolean;
}

export function outputItem(
  view: RunView,
  part: ViewedPart,
  { id, text, status, isEmpty = false }: ItemState,
): OutputItem {
  const { toolCallId: call_id = '', toolName: name = '' } = part;
  const type = itemKind(part);
  switch (type) {
    case 'message':
      return { type, id, status, role: 'assistant', content: isEmpty ? [] : [textContent(text)] };
    case 'reasoning':
      return { type, id, status, summary: [], content: isEmpty ? [] : [reasoningContent(text)] };
    case 'function_call':
      return { type, id, status, call_id, name, arguments: text };
    case 'mcp_call':
      return {
        type,
        id,
        server_label: view.agent ?? '',
        name,
        arguments: text,
        approval_request_id: null,
        ...mcpOutcome(view, call_id, status),
      };
    default:
      return type satisfies never;
  }
}

function mcpOutcome(view: RunView, callId: string, status: ItemStatus): Readonly<Record<string, unknown>> {
  const outcome = view.results.get(callId);
  if (outcome === undefined) return { status, output: null, error: null };
  const { result, error } = outcome;
  if (error !== undefined) return { status: 'failed', output: null, error };
  return {
    status: 'completed',
    output: typeof result === 'string' ? result : JSON.stringify(result ?? null),
    error: null,
  };
}

/** Of a part as the fold has it. Where a run did not complete, the parts that were open at its end are incomplete. */
export function statusOf(view: RunView, index: number): ItemStatus {
  const part = view.parts[index];
  if (part?.isDone !== true) return 'in_progress';
  const wasOpen =
    part.kind === 'tool-call' ? !view.results.has(part.toolCallId ?? '') : index === view.parts.length - 1;
  return wasOpen && view.hasEnded && !isComplete(view) ? 'incomplete' : 'completed';
}

function isComplete({ state, finishReason }: RunView): boolean {
  return state === 'completed' && incompleteReason(finishReason) === undefined;
}

/** All items of the run. `idOf`: the id of a part's item where it is not the usual one. */
export function outputItems(view: RunView, idOf?: (part: number) => string | undefined): OutputItem[] {
  return view.parts.map((part, index) => {
    const id = idOf?.(index) ?? itemId(itemKind(part), view.runId, index);
    return outputItem(view, part, { id, text: part.text.toString(), status: statusOf(view, index) });
  });
}
