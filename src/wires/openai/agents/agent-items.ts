// The items of an Agents session: prompts, results of calls, and the parts of answers.
import type { MessageContent, ToolOutcome } from '../../../session/events/chat-event.ts';
import { itemKind, type AnsweredPart, type ItemKind, type ItemStatus } from '../answer-items.ts';
import { historyItems, type HistoryMessage } from '../history-items.ts';

export interface AgentItem {
  readonly id: string;
  readonly type: ItemKind | 'function_call_output';
  readonly turn_id: string;
  readonly [field: string]: unknown;
}

export interface AgentItemPlace {
  readonly id: string;
  readonly turnId: string;
  readonly agent: string;
  readonly status: ItemStatus;
  /** The item has no content yet. */
  readonly isEmpty?: boolean | undefined;
}

export function answerItem(part: AnsweredPart, { id, turnId, agent, status, isEmpty }: AgentItemPlace): AgentItem {
  const type = itemKind(part);
  const head = { id, type, turn_id: turnId } as const;
  const { text, toolCallId: call_id = '', toolName: name = '', outcome } = part;
  switch (type) {
    case 'message': {
      const content = isEmpty === true ? [] : [outputText(text)];
      return { ...head, role: 'assistant', phase: null, status, content };
    }
    case 'reasoning':
      return { ...head, status, summary: isEmpty === true ? [] : [summaryText(text)] };
    case 'function_call':
      return { ...head, call_id, name, arguments: text, status: callStatus(status, outcome) };
    case 'mcp_call':
      return {
        ...head,
        server_label: agent,
        name,
        arguments: text,
        status: callStatus(status, outcome),
        output: outcome?.result ?? null,
        error: outcome?.error ?? null,
      };
    default:
      return type satisfies never;
  }
}

export function outputText(text: string): { readonly type: 'output_text'; readonly text: string } {
  return { type: 'output_text', text };
}

export function summaryText(text: string): { readonly type: 'summary_text'; readonly text: string } {
  return { type: 'summary_text', text };
}

function callStatus(status: ItemStatus, outcome: AnsweredPart['outcome']): string {
  if (outcome === undefined) return status;
  return outcome.error === undefined ? 'completed' : 'failed';
}

/** The items of a message of the history. A message of the system is none. `agent`: that executed the calls. */
export function agentItems(message: HistoryMessage, agent: string): readonly AgentItem[] {
  if (message.role === 'system') return [];
  const turnId = message.runId ?? '';
  return historyItems<AgentItem>(message, {
    prompt: (id, { content }) => promptItem(id, turnId, content),
    result: (id, _message, outcome) => resultItem(id, turnId, outcome),
    part: (id, _message, part, status) => answerItem(part, { id, turnId, agent, status }),
  });
}

/** A prompt. `turnId`: of its run. */
function promptItem(id: string, turnId: string, content: MessageContent): AgentItem {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return {
    id,
    type: 'message',
    turn_id: turnId,
    role: 'user',
    phase: null,
    status: 'completed',
    content: parts.map(inputPart),
  };
}

/** What a call gave, from a client. */
function resultItem(id: string, turnId: string, { toolCallId, result, error }: ToolOutcome): AgentItem {
  const isFailed = error !== undefined;
  const output = typeof result === 'string' ? result : JSON.stringify(result ?? null);
  return {
    id,
    type: 'function_call_output',
    turn_id: turnId,
    call_id: toolCallId,
    status: isFailed ? 'failed' : 'completed',
    output: isFailed ? null : output,
    error: error ?? null,
  };
}

/** A part of another kind, as a file, is named in a text: these items have texts and images only. */
function inputPart(part: Readonly<Record<string, unknown>>): unknown {
  const { type, text, image_url: image } = part;
  if (type === 'text') return { type: 'input_text', text };
  if (type === 'image_url' && typeof image === 'object' && image !== null && 'url' in image)
    return { type: 'input_image', image_url: image.url };
  return { type: 'input_text', text: `[${String(type)}]` };
}
