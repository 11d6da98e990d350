// The messages of a stream in the mode `messages-tuple`, as JSON: what is new of the AI message, and results of tools.
// Pure.
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { toolMessage } from './messages.ts';

/** What one change adds to the AI message. */
export function chunk(view: RunView, part: number, text: string, isOpening: boolean): string {
  const kind = view.parts[part]?.kind;
  const json = JSON.stringify(text);
  if (kind === 'text') return chunkOf(view, json, '{}', '[]');
  if (kind === 'reasoning') return chunkOf(view, '""', `{"reasoning_content":${json}}`, '[]');
  return chunkOf(view, '""', '{}', JSON.stringify([callChunk(view, part, text, isOpening)]));
}

/** The AI message so far: its parts from `first` to before `end`. */
export function wholeChunk(view: RunView, first: number, end: number): string {
  const of = view.parts.slice(first, end);
  const textOf = (kind: 'text' | 'reasoning'): string =>
    of.map((part) => (part.kind === kind ? part.text.toString() : '')).join('');
  const calls = of.flatMap(({ kind, text }, at) =>
    kind === 'tool-call' ? [callChunk(view, first + at, text.toString(), true)] : [],
  );
  const reasoning = textOf('reasoning');
  const kwargs = reasoning === '' ? {} : { reasoning_content: reasoning };
  return chunkOf(view, JSON.stringify(textOf('text')), JSON.stringify(kwargs), JSON.stringify(calls));
}

/** The arguments are JSON. */
function chunkOf({ answerId = '' }: RunView, content: string, kwargs: string, calls: string): string {
  const id = JSON.stringify(answerId);
  return `{"type":"AIMessageChunk","id":${id},"content":${content},"additional_kwargs":${kwargs},"response_metadata":{},"tool_call_chunks":${calls}}`;
}

/** The client joins the chunks of one call by their index. */
function callChunk({ parts }: RunView, part: number, text: string, isOpening: boolean): JsonObject {
  const { toolCallId = '', toolName = '' } = parts[part] ?? {};
  return {
    type: 'tool_call_chunk',
    index: parts.slice(0, part).filter(({ kind }) => kind === 'tool-call').length,
    ...(isOpening ? { id: toolCallId, name: toolName } : {}),
    args: text,
  };
}

export function resultMessage({ answerId = '', parts, results }: RunView, toolCallId: string): string {
  const toolName = parts.find((part) => part.toolCallId === toolCallId)?.toolName;
  return JSON.stringify(toolMessage(answerId, { toolCallId, toolName, ...results.get(toolCallId) }));
}
