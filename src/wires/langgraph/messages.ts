// Messages as LangChain serializes them: whole ones for states, chunks for streams. Pure. One answer is one AI message
// whose id is the id of the answer, then one tool message for each result.
import type { JsonObject, MessageContent, PartKind, RunUsage } from '../../session/events/chat-event.ts';

export interface PromptView {
  readonly messageId: string;
  readonly role: string;
  readonly content: MessageContent;
}

export interface AnswerPartView {
  readonly kind: PartKind;
  /** Of a tool call: its arguments. */
  readonly text: string;
  readonly toolCallId?: string | undefined;
  readonly toolName?: string | undefined;
  readonly result?: unknown;
  readonly error?: string | undefined;
}

export interface AnswerView {
  readonly messageId: string;
  readonly parts: readonly AnswerPartView[];
  readonly usage?: RunUsage | undefined;
  readonly finishReason?: string | undefined;
}

export function promptMessage({ messageId, role, content }: PromptView): JsonObject {
  const type = role === 'system' ? 'system' : 'human';
  return { type, id: messageId, content, additional_kwargs: {}, response_metadata: {} };
}

export function answerMessages({ messageId, parts, usage, finishReason }: AnswerView): JsonObject[] {
  const calls = parts.filter((part) => part.kind === 'tool-call');
  const reasoning = textOf(parts, 'reasoning');
  return [
    {
      type: 'ai',
      id: messageId,
      content: textOf(parts, 'text'),
      additional_kwargs: reasoning === '' ? {} : { reasoning_content: reasoning },
      response_metadata: finishReason === undefined ? {} : { finish_reason: finishReason },
      ...callFields(calls),
      ...(usage === undefined ? {} : { usage_metadata: usageFields(usage) }),
    },
    ...calls.flatMap((call) => (hasResult(call) ? [toolMessage(messageId, call)] : [])),
  ];
}

function textOf(parts: readonly AnswerPartView[], kind: PartKind): string {
  return parts.map((part) => (part.kind === kind ? part.text : '')).join('');
}

function hasResult({ result, error }: AnswerPartView): boolean {
  return result !== undefined || error !== undefined;
}

function usageFields({ inputTokens, outputTokens }: RunUsage): JsonObject {
  return { input_tokens: inputTokens, output_tokens: outputTokens, total_tokens: inputTokens + outputTokens };
}

/** A call whose arguments are no JSON object is an invalid one. */
function callFields(calls: readonly AnswerPartView[]): JsonObject {
  const valid: JsonObject[] = [];
  const invalid: JsonObject[] = [];
  for (const { toolCallId: id = '', toolName: name = '', text } of calls) {
    const args = argumentsOf(text);
    if (args === undefined)
      invalid.push({ name, args: text, id, error: 'the arguments are no JSON object', type: 'invalid_tool_call' });
    else valid.push({ name, args, id, type: 'tool_call' });
  }
  return { tool_calls: valid, invalid_tool_calls: invalid };
}

function argumentsOf(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    const args: unknown = JSON.parse(text);
    return typeof args === 'object' && args !== null && !Array.isArray(args) ? args : undefined;
  } catch {
    return undefined;
  }
}

export function toolMessage(
  answerId: string,
  { toolCallId = '', toolName, result, error }: Omit<AnswerPartView, 'kind' | 'text'>,
): JsonObject {
  return {
    type: 'tool',
    id: `${answerId}.${toolCallId}`,
    content: error ?? (typeof result === 'string' ? result : JSON.stringify(result ?? null)),
    tool_call_id: toolCallId,
    ...(toolName === undefined ? {} : { name: toolName }),
    status: error === undefined ? 'success' : 'error',
    additional_kwargs: {},
    response_metadata: {},
  };
}
