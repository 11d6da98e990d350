// Converts frames of a wire into the events that this client knows. Every field is checked here once and trusted
// afterwards. Undefined: an unknown type, or a known type without its required fields; receivers ignore both
// [PROTOCOL §4].
import { parseWaitEvent } from './wait-events.ts';
import type {
  ChatEvent,
  ContentPart,
  ControlEvent,
  MessageContent,
  PartKind,
  ToolCall,
  ToolResult,
  WireError,
  WireFrame,
} from './wire-events.ts';

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param frame a frame with a position */
export function parseChatEvent(frame: WireFrame): ChatEvent | undefined {
  if (!isFields(frame.data)) return undefined;
  if (frame.event.startsWith('session.')) return parseSessionEvent(frame.event, frame.data);
  if (frame.event === 'lost') return parseLost(frame.data);
  if (frame.event === 'history.given') return parseGiven(frame.data);
  if (frame.event.startsWith('message.')) return parseMessageEvent(frame.event, frame.data);
  return typeof frame.data['runId'] === 'string'
    ? parseRunEvent(frame.event, frame.data['runId'], frame.data)
    : undefined;
}

/** @param frame a frame without a position */
export function parseControlEvent(frame: WireFrame): ControlEvent | undefined {
  const fields = isFields(frame.data) ? frame.data : {};
  const { reason, afterMs, runId, ahead, paused, startsInSeconds, expiresAt } = fields;
  switch (frame.event) {
    case 'live':
    case 'expired':
      return { type: frame.event };
    case 'reset':
      return { type: 'reset', reason: typeof reason === 'string' ? reason : 'unknown' };
    case 'reconnect':
      return { type: 'reconnect', afterMs: isCount(afterMs) ? afterMs : 0 };
    case 'expiring':
      return typeof expiresAt === 'string' ? { type: 'expiring', expiresAt } : undefined;
    case 'queue':
      return typeof runId === 'string' && isCount(ahead)
        ? {
            type: 'queue',
            runId,
            ahead,
            ...(paused === true ? { paused } : {}),
            ...(isCount(startsInSeconds) ? { startsInSeconds } : {}),
          }
        : undefined;
    default:
      return undefined;
  }
}

/** An error as every part of the protocol writes it. A missing field gets its cautious value: not retryable. */
export function parseWireError(value: unknown, fallback: string): WireError {
  const fields = isFields(value) ? value : {};
  const { code, message, retryable } = fields;
  return {
    code: typeof code === 'string' ? code : fallback,
    message: typeof message === 'string' ? message : fallback,
    retryable: retryable === true,
  };
}

function parseLost({ from, to }: Fields): ChatEvent | undefined {
  return isCount(from) && isCount(to) ? { type: 'lost', from, to } : undefined;
}

function parseSessionEvent(type: string, fields: Fields): ChatEvent | undefined {
  if (type !== 'session.created' && type !== 'session.updated') return undefined;
  const { title, metadata } = fields;
  return { type, ...(typeof title === 'string' ? { title } : {}), ...(metadata === undefined ? {} : { metadata }) };
}

function parseMessageEvent(type: string, fields: Fields): ChatEvent | undefined {
  const { messageId, role, content } = fields;
  if (typeof messageId !== 'string' || !isContent(content)) return undefined;
  if (type === 'message.edited') return { type, messageId, content };
  if (type !== 'message.created' || typeof role !== 'string') return undefined;
  const { toolResults } = fields;
  const results = Array.isArray(toolResults) ? { toolResults: toolResults.filter(isToolResult) } : {};
  const texts = { ...pickText(fields, 'createdAt'), ...pickText(fields, 'replaces') };
  return { type, messageId, role, content, ...results, ...texts };
}

function parseGiven(fields: Fields): ChatEvent | undefined {
  const { messageId, role, content, toolCalls } = fields;
  if (typeof messageId !== 'string' || typeof role !== 'string' || !isContent(content)) return undefined;
  const calls = Array.isArray(toolCalls) ? { toolCalls: toolCalls.filter(isToolCall) } : {};
  const texts = { ...pickText(fields, 'createdAt'), ...pickText(fields, 'toolCallId') };
  return { type: 'history.given', messageId, role, content, ...calls, ...texts };
}

function isToolCall(value: unknown): value is ToolCall {
  return isFields(value) && ['toolCallId', 'toolName', 'arguments'].every((key) => typeof value[key] === 'string');
}

function isToolResult(value: unknown): value is ToolResult {
  return isFields(value) && typeof value['toolCallId'] === 'string';
}

function parseRunEvent(type: string, runId: string, fields: Fields): ChatEvent | undefined {
  const { messageId, attempt, part, at } = fields;
  switch (type) {
    case 'branch.selected':
      return { type, runId };
    case 'run.queued':
      if (typeof messageId !== 'string') return undefined;
      return {
        type,
        runId,
        messageId,
        ...pickText(fields, 'answerId'),
        ...pickText(fields, 'agent'),
        ...pickText(fields, 'model'),
      };
    case 'run.started':
      if (typeof messageId !== 'string') return undefined;
      return { type, runId, messageId, attempt: isCount(attempt) ? attempt : 1, ...pickText(fields, 'model') };
    case 'part.started':
    case 'delta':
    case 'tool.result':
      return parsePartEvent(type, runId, fields);
    case 'run.restarted':
      if (!isCount(part) || !isCount(at)) return undefined;
      return { type, runId, attempt: isCount(attempt) ? attempt : 1, part, at };
    case 'run.cancelling':
    case 'run.cancelled':
      return { type, runId, ...pickText(fields, 'by'), ...pickUsage(fields) };
    case 'run.completed':
      return { type, runId, ...pickText(fields, 'finishReason'), ...pickUsage(fields) };
    case 'run.failed':
      return { type, runId, error: parseWireError(fields['error'], 'failed'), ...pickUsage(fields) };
    default:
      return parseWaitEvent(type, runId, fields);
  }
}

function parsePartEvent(
  type: 'part.started' | 'delta' | 'tool.result',
  runId: string,
  fields: Fields,
): ChatEvent | undefined {
  const { messageId, part, kind, at, text, toolCallId, result, error } = fields;
  if (type === 'tool.result') {
    if (typeof toolCallId !== 'string') return undefined;
    return {
      type,
      runId,
      toolCallId,
      ...(result === undefined ? {} : { result }),
      ...(error === undefined ? {} : { error }),
    };
  }
  if (!isCount(part) || !isPartKind(kind)) return undefined;
  if (type === 'part.started') {
    const { executor } = fields;
    const names = { ...pickText(fields, 'toolCallId'), ...pickText(fields, 'toolName') };
    return {
      type,
      runId,
      part,
      kind,
      ...names,
      ...(executor === 'agent' || executor === 'client' ? { executor } : {}),
    };
  }
  if (typeof messageId !== 'string' || !isCount(at) || typeof text !== 'string') return undefined;
  return { type, runId, messageId, part, kind, at, text };
}

function pickText<K extends string>(fields: Fields, key: K): { readonly [P in K]?: string } {
  const value = fields[key];
  return typeof value === 'string' ? ({ [key]: value } as { readonly [P in K]?: string }) : {};
}

function pickUsage({ usage }: Fields): { readonly usage?: unknown } {
  return usage === undefined ? {} : { usage };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isPartKind(value: unknown): value is PartKind {
  return value === 'text' || value === 'reasoning' || value === 'tool-call';
}

function isContent(value: unknown): value is MessageContent {
  return typeof value === 'string' || (Array.isArray(value) && value.every(isContentPart));
}

function isContentPart(value: unknown): value is ContentPart {
  return isFields(value) && typeof value['type'] === 'string';
}
