// The union of a chat's events, and its only codec to and from a log record (delta-json.ts is a faster one for deltas).
//
// A record's data is `1 <type> <public JSON>`, then for some `\n<private JSON>`. The public JSON is the very
// text that goes over the wire, so delivering a token costs no parsing; the private part (checkpoints, body
// hashes, marks) never leaves the log. Events: PROTOCOL §4.
import type { LogItem, LogRecord, NewRecord } from '../../broker/broker.ts';
import { BrokerError, isBrokerError } from '../../broker/errors.ts';
import type { WaitEvent } from './wait-events.ts';

export type JsonObject = { readonly [key: string]: unknown };

export type PartKind = 'text' | 'reasoning' | 'tool-call';
export type RunPriority = 'high' | 'normal' | 'low';

export interface RunUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface RunError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** A call of a tool, as a model wrote it. */
export interface ToolCall {
  readonly toolCallId: string;
  readonly toolName: string;
  /** The text of a JSON object. */
  readonly arguments: string;
}

/** What a call gave: a result, which is any JSON, or the text of an error. */
export interface ToolOutcome {
  readonly toolCallId: string;
  readonly result?: unknown;
  readonly error?: string;
}

/** Text, or a list of OpenAI-style content parts, kept as they came. */
export type MessageContent = string | readonly JsonObject[];

export interface SessionCreated {
  readonly type: 'session.created';
  readonly title?: string;
  readonly metadata?: JsonObject;
  readonly createdAt: string;
}
export interface SessionUpdated {
  readonly type: 'session.updated';
  readonly title?: string;
  readonly metadata?: JsonObject;
}
export interface MessageCreated {
  readonly type: 'message.created';
  readonly messageId: string;
  /** `tool`: it has nothing but results. */
  readonly role: 'user' | 'system' | 'tool';
  readonly content: MessageContent;
  /** What calls of the answer that it follows gave. */
  readonly toolResults?: readonly ToolOutcome[];
  readonly createdAt: string;
  readonly user: string;
  /** The prompt that this one replaces: a branch begins here. */
  readonly replaces?: string;
}
/** A message of a conversation that was held elsewhere. All of them come before the first prompt of the chat, in its
 *  append or in earlier ones. */
export interface HistoryGiven {
  readonly type: 'history.given';
  readonly messageId: string;
  /** From 0. */
  readonly index: number;
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: MessageContent;
  /** Only of the role `assistant`. */
  readonly toolCalls?: readonly ToolCall[];
  /** Only of the role `tool`: the call whose result this is. */
  readonly toolCallId?: string;
  readonly createdAt: string;
}
/** Internal, never projected: an upload has this place in the chat, and no prompt names it yet. */
export interface AttachmentReserved {
  readonly type: 'attachment.reserved';
  readonly attachmentId: string;
  readonly bytes: number;
  readonly createdAt: string;
}
/** Internal, never projected: no prompt may name the upload any more. `isRemoved`: its bytes are gone. */
export interface AttachmentDropped {
  readonly type: 'attachment.dropped';
  readonly attachmentId: string;
  readonly isRemoved?: true;
}
/** Only for a prompt whose run has not begun. */
export interface MessageEdited {
  readonly type: 'message.edited';
  readonly messageId: string;
  readonly content: MessageContent;
  readonly editedAt: string;
  readonly user: string;
}
export interface RunQueued {
  readonly type: 'run.queued';
  readonly runId: string;
  /** Of the prompt. */
  readonly messageId: string;
  /** The id of the answer, which `run.started` names again. Absent in records of version 0.1. */
  readonly answerId?: string;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
  readonly createdAt: string;
  /** The prompt was answered before, so this answer begins a branch. */
  readonly regenerates?: true;
}
/** The chat is shown up to this run from now on, and the next prompt follows it. */
export interface BranchSelected {
  readonly type: 'branch.selected';
  readonly runId: string;
  readonly by: string;
}
export interface RunStarted {
  readonly type: 'run.started';
  readonly runId: string;
  /** Id of the answer. Each run has one, so that every wire shows one message. */
  readonly messageId: string;
  readonly attempt: number;
  readonly model: string;
  readonly createdAt: string;
  /** The run ends when nobody watches it for this long. */
  readonly unwatchedMs?: number;
}
export interface PartStarted {
  readonly type: 'part.started';
  readonly runId: string;
  readonly part: number;
  readonly kind: PartKind;
  readonly toolCallId?: string;
  readonly toolName?: string;
  /** Of a tool call: who executes it. Absent in records of version 0.1. */
  readonly executor?: 'agent' | 'client';
}
export interface Delta {
  readonly type: 'delta';
  readonly runId: string;
  readonly messageId: string;
  readonly part: number;
  readonly kind: PartKind;
  /** Offset of the text in its part, in UTF-16 code units. */
  readonly at: number;
  readonly text: string;
}
export interface ToolResult {
  readonly type: 'tool.result';
  readonly runId: string;
  readonly toolCallId: string;
  readonly result?: unknown;
  readonly error?: string;
}
export interface RunRestarted {
  readonly type: 'run.restarted';
  readonly runId: string;
  readonly attempt: number;
  /** Keeps all earlier parts and the text before `at` in `part`; drops the rest of this run's answer. */
  readonly part: number;
  readonly at: number;
  readonly createdAt: string;
  readonly unwatchedMs?: number;
}
/** Internal, never projected: the code of this attempt kept its worker's event loop for longer than its lease. */
export interface RunBlocked {
  readonly type: 'run.blocked';
  readonly runId: string;
  readonly attempt: number;
  readonly blockedMs: number;
  readonly createdAt: string;
}
export interface RunCancelling {
  readonly type: 'run.cancelling';
  readonly runId: string;
  readonly by: string;
  readonly reason?: string;
  readonly createdAt: string;
}
/** The figures of a run in its terminal, by the clock of the process that ended it. */
export interface RunTally {
  readonly endedAt: string;
  /** The time of the first delta and the number of deltas (mostly one token each) of the attempt that ended the run.
   *  Absent if it appended none. */
  readonly firstTokenAt?: string;
  readonly deltas?: number;
  /** Of that attempt. Absent if the provider did not report it. Never estimated. */
  readonly usage?: RunUsage;
}
export interface RunCompleted extends RunTally {
  readonly type: 'run.completed';
  readonly runId: string;
  readonly messageId: string;
  readonly finishReason: string;
  /** Of the answer's text parts together, in UTF-16 code units. */
  readonly length: number;
}
export interface RunFailed extends RunTally {
  readonly type: 'run.failed';
  readonly runId: string;
  readonly error: RunError;
}
export interface RunCancelled extends RunTally {
  readonly type: 'run.cancelled';
  readonly runId: string;
  readonly by: string;
  readonly reason?: string;
}
/** Internal, never projected: the answer of a finished run, in place of the deltas that its terminal supersedes.
 *  One event holds at most ANSWER_CHUNK_CHARS of one part; longer parts take several, joined by `at`. */
export interface RunAnswer {
  readonly type: 'run.answer';
  readonly runId: string;
  readonly messageId: string;
  readonly part: number;
  readonly kind: PartKind;
  readonly at: number;
  readonly text: string;
}

export type RunTerminal = RunCompleted | RunFailed | RunCancelled;

export type ChatEvent =
  | SessionCreated
  | SessionUpdated
  | HistoryGiven
  | MessageCreated
  | MessageEdited
  | AttachmentReserved
  | AttachmentDropped
  | BranchSelected
  | RunQueued
  | RunStarted
  | PartStarted
  | Delta
  | ToolResult
  | RunRestarted
  | RunBlocked
  | WaitEvent
  | RunCancelling
  | RunTerminal
  | RunAnswer;

export type ChatEventType = ChatEvent['type'];

/** Minor events may be superseded and do not affect the condition of an append. Events that decide something are
 *  major. */
const IS_MAJOR: Record<ChatEventType, boolean> = {
  'session.created': true,
  'session.updated': true,
  'history.given': true,
  'message.created': true,
  'message.edited': true,
  'attachment.reserved': true,
  'attachment.dropped': true,
  'branch.selected': true,
  'run.queued': true,
  'run.started': true,
  'part.started': false,
  delta: false,
  'tool.result': false,
  'run.restarted': true,
  'run.blocked': true,
  'input.requested': true,
  'run.waiting': true,
  'input.answered': true,
  'input.closed': true,
  'run.resumed': true,
  'run.cancelling': true,
  'run.completed': true,
  'run.failed': true,
  'run.cancelled': true,
  'run.answer': false,
};

/** Types that stay in the log. */
const INTERNAL: ReadonlySet<string> = new Set([
  'run.answer',
  'run.blocked',
  'attachment.reserved',
  'attachment.dropped',
]);

export function isInternalType(type: string): boolean {
  return INTERNAL.has(type);
}

export function isTerminal(event: ChatEvent): event is RunTerminal {
  return event.type === 'run.completed' || event.type === 'run.failed' || event.type === 'run.cancelled';
}

/** Bumped when old readers could misread a record; they then ignore it, as they do unknown types. */
export const RECORD_VERSION = '1 ';

/** Only `decodeHidden` returns `hidden`. JSON.stringify escapes lone surrogates and line
 *  feeds, so the record is well-formed and its first line is the whole public part. */
export function encodeEvent(event: ChatEvent, hidden?: JsonObject): NewRecord {
  const { type, ...fields } = event;
  const open = { major: IS_MAJOR[type], data: `${RECORD_VERSION}${type} ${JSON.stringify(fields)}` };
  return hidden === undefined ? open : withHidden(open, hidden);
}

/** `record`: of an event without a hidden part. */
export function withHidden({ major, data }: NewRecord, hidden: JsonObject): NewRecord {
  return { major, data: `${data}\n${JSON.stringify(hidden)}` };
}

const DELTA = `${RECORD_VERSION}delta `;

/** The event's type, or undefined for a record of an unknown version. */
export function typeOf(data: string): string | undefined {
  // Nearly every record is a delta: the constant avoids a new string each time.
  if (data.startsWith(DELTA)) return 'delta';
  if (!data.startsWith(RECORD_VERSION)) return undefined;
  const end = data.indexOf(' ', RECORD_VERSION.length);
  return end < 0 ? undefined : data.slice(RECORD_VERSION.length, end);
}

/** The public fields as one line of JSON, verbatim. `type` is what `typeOf` gave. */
export function publicJson(data: string, type: string): string {
  const start = RECORD_VERSION.length + type.length + 1;
  // Most records are deltas, and deltas never have a hidden part.
  if (type === 'delta') return data.slice(start);
  const line = data.indexOf('\n', start);
  return line < 0 ? data.slice(start) : data.slice(start, line);
}

/** The event, or undefined if its version or type is unknown: readers skip such records. @throws BrokerError corrupt:
 *  the text is no JSON */
export function decodeEvent(data: string): ChatEvent | undefined {
  const type = typeOf(data);
  return type === undefined || !Object.hasOwn(IS_MAJOR, type) ? undefined : parseEvent(type, publicJson(data, type));
}

/** As `decodeEvent`, but says that the text is damaged. */
export function eventUnlessDamaged(data: string): ChatEvent | 'damaged' | undefined {
  try {
    return decodeEvent(data);
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return 'damaged';
    throw error;
  }
}

/** The event of a record; undefined for another item, an unknown event, and a record whose text is damaged. */
export function readableEvent(item: LogItem): ChatEvent | undefined {
  const event = item.kind === 'record' ? eventUnlessDamaged(item.data) : undefined;
  return event === 'damaged' ? undefined : event;
}

/** `json`: the public fields. Only `encodeEvent` and delta-json's `encodeDelta` write chat topics, so a known type has
 *  the fields of its type. @throws BrokerError corrupt: the text is no JSON */
export function parseEvent(type: string, json: string): ChatEvent {
  return { type, ...parseObject(json) } as ChatEvent;
}

/** @throws BrokerError corrupt: the text is no JSON */
export function decodeHidden(data: string): JsonObject | undefined {
  const line = data.indexOf('\n');
  return line < 0 ? undefined : parseObject(data.slice(line + 1));
}

/** Whether the hidden part of a record is damaged. A record of another version is not. */
export function isUnreadable({ data }: LogRecord): boolean {
  try {
    decodeHidden(data);
    return false;
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return true;
    throw error;
  }
}

/** A storage without checksums may return another text than was written. */
function parseObject(json: string): JsonObject {
  try {
    return JSON.parse(json) as JsonObject;
  } catch (cause) {
    throw new BrokerError('corrupt', 'a record of a chat is no JSON', { cause });
  }
}
