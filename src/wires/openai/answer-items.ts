// The items of an answer, as Responses and Agents sessions have them: each part of an answer is one item. A call that
// the agent executes itself is a call of an MCP server with the agent's name, so that clients show it and do not
// execute it.
import type { CallOutcome, ViewedPart } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { incompleteReason } from './finish-reason.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export type ItemKind = 'message' | 'reasoning' | 'function_call' | 'mcp_call';

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

/** The item of a prompt, and of the result of a call in it. */
export function promptItemId(key: string): string {
  return `msg_${key}_in`;
}

export function resultItemId(key: string, index: number): string {
  return `fco_${key}_${index}`;
}

/** The run whose answer or prompt has the item. Undefined where the id names no run. */
export function runOfItem(id: string): string | undefined {
  return /^[a-z]+_([A-Za-z0-9_-]{1,128})_(?:in|\d{1,9})$/.exec(id)?.[1];
}

/** Whether the id can be of a message that came before the first prompt and has no id of its client. */
export function isGivenItem(id: string): boolean {
  return /^[a-z]+_history:\d{1,9}_(?:in|\d{1,9})$/.test(id);
}

export interface ItemState {
  readonly id: string;
  readonly text: string;
  readonly status: ItemStatus;
  /** The item has no content yet, as when it is added. */
  readonly isEmpty?: boolean;
}

/** A part of an answer, and what its call gave. `text`: so far. */
export interface AnsweredPart extends Pick<ViewedPart, 'kind' | 'executor' | 'toolCallId' | 'toolName'> {
  readonly text: string;
  readonly outcome?: CallOutcome | undefined;
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
