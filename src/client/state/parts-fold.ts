// The joining rule [PROTOCOL §4] for the parts of one answer: deltas append at their offset, a restart cuts, tool calls
// get their results. Pure. `undefined` always means "this does not join": text is missing or doubled, and the client
// shows nothing of it until it has read the stream again from before.
import { isTextual } from './chat-state.ts';
import type { AttachmentPart, Part, TextPart, ToolCallPart } from './chat-state.ts';
import type { ChatEvent, ToolCall } from '../protocol/wire-events.ts';

type EventOf<T extends ChatEvent['type']> = Extract<ChatEvent, { type: T }>;
type StreamedPart = Exclude<Part, AttachmentPart>;

/** Text parts begin with their first delta, so that a left-out `part.started` makes no difference. */
export function startPart(parts: readonly Part[], event: EventOf<'part.started'>): readonly Part[] {
  if (isTextual(event.kind)) return parts;
  const known = parts.find((part) => part.part === event.part);
  if (known !== undefined) return parts;
  const names = {
    ...(event.toolCallId === undefined ? {} : { toolCallId: event.toolCallId }),
    ...(event.toolName === undefined ? {} : { toolName: event.toolName }),
    ...(event.executor === undefined ? {} : { executor: event.executor }),
  };
  return putPart(parts, { part: event.part, kind: 'tool-call', start: 0, text: '', ...names });
}

/**
 * @param mayLackBeginning the run's own beginning is no longer in the log, so its first delta may start anywhere.
 */
export function appendDelta(
  parts: readonly Part[],
  delta: EventOf<'delta'>,
  mayLackBeginning: boolean,
): readonly Part[] | undefined {
  const known = parts.find((part) => part.part === delta.part);
  if (known === undefined) {
    if (delta.at !== 0 && !mayLackBeginning) return undefined;
    if (delta.text === '') return parts;
    return putPart(parts, newPart(delta));
  }
  if (!isStreamed(known) || known.start + known.text.length !== delta.at) return undefined;
  return putPart(parts, { ...known, text: known.text + delta.text });
}

/** Keeps the text before `at` in part `part`, and all earlier parts. */
export function truncateParts(parts: readonly Part[], part: number, at: number): readonly Part[] | undefined {
  const earlier = parts.filter((other) => other.part < part);
  const cut = parts.find((other) => other.part === part);
  if (cut === undefined) return at === 0 ? earlier : undefined;
  if (!isStreamed(cut) || cut.start + cut.text.length < at) return undefined;
  // A part that is cut to nothing is removed: the next attempt may write a part of another kind with its number.
  if (at <= cut.start) return earlier;
  return [...earlier, { ...cut, text: cut.text.slice(0, at - cut.start) }];
}

export function settleToolCall(parts: readonly Part[], event: EventOf<'tool.result'>): readonly Part[] {
  return parts.map((part) => {
    if (part.kind !== 'tool-call' || part.toolCallId !== event.toolCallId) return part;
    return {
      ...part,
      ...(event.result === undefined ? {} : { result: event.result }),
      ...(event.error === undefined ? {} : { error: event.error }),
    };
  });
}

/** The parts of a prompt, or of an answer that was stored in one piece. */
export function partsOfContent(content: EventOf<'message.created'>['content']): readonly Part[] {
  if (content === '') return [];
  if (typeof content === 'string') return [{ part: 0, kind: 'text', start: 0, text: content }];
  return content.map((item, part) => {
    const text = item['text'];
    if (item.type === 'text' && typeof text === 'string') return { part, kind: 'text', start: 0, text };
    return { part, kind: 'attachment', content: item };
  });
}

/** The calls of a given message, behind its content. */
export function partsOfCalls(
  calls: readonly ToolCall[],
  content: EventOf<'message.created'>['content'],
): readonly Part[] {
  const first = typeof content === 'string' ? 1 : content.length;
  return calls.map(({ toolCallId, toolName, arguments: text }, i) => ({
    part: first + i,
    kind: 'tool-call',
    start: 0,
    text,
    toolCallId,
    toolName,
  }));
}

function newPart(delta: EventOf<'delta'>): StreamedPart {
  const common = { part: delta.part, start: delta.at, text: delta.text };
  if (isTextual(delta.kind)) return { ...common, kind: delta.kind } satisfies TextPart;
  return { ...common, kind: 'tool-call' } satisfies ToolCallPart;
}

function putPart(parts: readonly Part[], fresh: Part): readonly Part[] {
  const index = parts.findIndex((part) => part.part >= fresh.part);
  if (index < 0) return [...parts, fresh];
  return parts[index]?.part === fresh.part ? parts.with(index, fresh) : parts.toSpliced(index, 0, fresh);
}

function isStreamed(part: Part): part is StreamedPart {
  return part.kind !== 'attachment';
}
