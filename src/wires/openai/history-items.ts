// The messages of a chat's history as the items of an API: what each message consists of, with the ids of its items.
import type { MessageContent, PartKind, ToolCall, ToolOutcome } from '../../session/events/chat-event.ts';
import { itemId, itemKind, promptItemId, resultItemId, type AnsweredPart, type ItemStatus } from './answer-items.ts';
import { textOf } from './asked-prompt.ts';

/** A message as the session layer reads it. */
export interface HistoryMessage {
  readonly messageId: string;
  readonly role: 'user' | 'system' | 'assistant' | 'tool';
  readonly content: MessageContent;
  readonly status: string;
  /** Undefined: the message was given before the first prompt. */
  readonly runId?: string;
  readonly parts?: readonly {
    readonly kind: PartKind;
    readonly text: string;
    readonly toolCallId?: string;
    readonly toolName?: string;
    readonly executor?: 'agent' | 'client';
    readonly result?: unknown;
    readonly error?: string;
  }[];
  readonly toolResults?: readonly ToolOutcome[];
  readonly toolCalls?: readonly ToolCall[];
  readonly toolCallId?: string;
}

/** How one API shows what a message consists of. */
export interface HistoryWords<T> {
  readonly prompt: (id: string, message: HistoryMessage) => T;
  readonly result: (id: string, message: HistoryMessage, outcome: ToolOutcome) => T;
  readonly part: (id: string, message: HistoryMessage, part: AnsweredPart, status: ItemStatus) => T;
}

/** Oldest first. */
export function historyItems<T>(message: HistoryMessage, words: HistoryWords<T>): T[] {
  const { role, toolResults = [] } = message;
  const key = message.runId ?? message.messageId;
  if (role === 'assistant') return answerParts(message).map((part, i) => answerItem(message, part, key, i, words));
  const results = role === 'tool' && toolResults.length === 0 ? [givenResult(message)] : toolResults;
  const outcomes = results.map((outcome, i) => words.result(resultItemId(key, i), message, outcome));
  return role === 'tool' ? outcomes : [...outcomes, words.prompt(promptItemId(key), message)];
}

function givenResult({ toolCallId = '', content }: HistoryMessage): ToolOutcome {
  return { toolCallId, result: textOf(content) };
}

function answerItem<T>(
  message: HistoryMessage,
  part: AnsweredPart,
  key: string,
  index: number,
  words: HistoryWords<T>,
): T {
  const isLast = index === answerParts(message).length - 1;
  const isOpen = part.kind === 'tool-call' ? part.outcome === undefined : isLast;
  const openStatus = message.status === 'streaming' ? 'in_progress' : 'incomplete';
  const isWhole = message.status === 'completed' || message.status === 'given';
  return words.part(itemId(itemKind(part), key, index), message, part, isOpen && !isWhole ? openStatus : 'completed');
}

/** An answer with one text has no list of parts. */
function answerParts({ content, parts, toolCalls = [] }: HistoryMessage): readonly AnsweredPart[] {
  if (parts !== undefined) {
    return parts.map(({ result, error, ...part }) => {
      const outcome = error !== undefined ? { error } : result !== undefined ? { result } : undefined;
      return { ...part, outcome };
    });
  }
  const text = textOf(content);
  const calls = toolCalls.map(({ toolCallId, toolName, arguments: given }): AnsweredPart => {
    return { kind: 'tool-call', toolCallId, toolName, text: given };
  });
  return text === '' ? calls : [{ kind: 'text', text }, ...calls];
}
