// The types of PROTOCOL §3 and §4 as this client reads them: durable events, control events, and bodies of HTTP calls.
// Only types, and no code shared with the server, so that the SDK ships alone. `wire-codec.ts` makes these values.

import type { WaitEvent } from './wait-events.ts';

export type { InputAnswer, InputClosedReason, InputKind, InputRequest } from './wait-events.ts';

/** A frame of an event stream before it is parsed. Only durable events have an id (a position). */
export interface WireFrame {
  readonly id?: string;
  readonly event: string;
  readonly data: unknown;
}

export type PartKind = 'text' | 'reasoning' | 'tool-call';

/** The prompt of a message: plain text, or OpenAI-style content parts such as `{ type: 'text', text }`. */
export type MessageContent = string | readonly ContentPart[];

/** A call of a tool in a given message. `arguments` is the text of a JSON object. */
export interface ToolCall {
  readonly toolCallId: string;
  readonly toolName: string;
  readonly arguments: string;
}

/** What a call gave: a result, which is any JSON, or the text of an error. */
export interface ToolResult {
  readonly toolCallId: string;
  readonly result?: unknown;
  readonly error?: string;
}

/** For the model, as far as the agent takes them. */
export interface RunOptions {
  /** `parameters` is a JSON schema. */
  readonly tools?: readonly {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>>;
    readonly strict?: boolean;
  }[];
  readonly toolChoice?: 'auto' | 'none' | 'required' | { readonly toolName: string };
  readonly responseFormat?: { readonly type: string; readonly [field: string]: unknown };
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxOutputTokens?: number;
  readonly stop?: string | readonly string[];
  readonly seed?: number;
  readonly reasoningEffort?: string;
  readonly instructions?: string;
}

/** A message of a conversation that was held elsewhere. */
export interface GivenMessage {
  readonly messageId?: string;
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: MessageContent;
  /** Of the role `assistant`. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of the role `tool`: the call whose result this is. */
  readonly toolCallId?: string;
}

/** A content part that names a file of the chat. */
export interface AttachedFile extends ContentPart {
  readonly type: 'attachment';
  readonly attachmentId: string;
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: number;
}

export interface ContentPart {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Why a run failed, or why a call was refused. Match on `code`, show `message`. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** Durable events: the log of a chat. Each has a position on the wire. */
export type ChatEvent =
  | { readonly type: 'session.created' | 'session.updated'; readonly title?: string; readonly metadata?: unknown }
  | {
      readonly type: 'message.created';
      readonly messageId: string;
      readonly role: string;
      readonly content: MessageContent;
      /** What calls of the answer before gave. */
      readonly toolResults?: readonly ToolResult[];
      readonly createdAt?: string;
      /** The prompt that this one replaces, on a branch of its own. */
      readonly replaces?: string;
    }
  /** A message of a conversation that was held elsewhere, before the first prompt. */
  | {
      readonly type: 'history.given';
      readonly messageId: string;
      readonly role: string;
      readonly content: MessageContent;
      readonly createdAt?: string;
      readonly toolCalls?: readonly ToolCall[];
      /** Of the role `tool`: the call whose result this is. */
      readonly toolCallId?: string;
    }
  | { readonly type: 'message.edited'; readonly messageId: string; readonly content: MessageContent }
  | { readonly type: 'branch.selected'; readonly runId: string }
  | {
      readonly type: 'run.queued';
      readonly runId: string;
      readonly messageId: string;
      /** The id that the answer will have. Absent in chats of server version 0.1. */
      readonly answerId?: string;
      readonly agent?: string;
      readonly model?: string;
    }
  | {
      readonly type: 'run.started';
      readonly runId: string;
      readonly messageId: string;
      readonly attempt: number;
      readonly model?: string;
    }
  | {
      readonly type: 'part.started';
      readonly runId: string;
      readonly part: number;
      readonly kind: PartKind;
      readonly toolCallId?: string;
      readonly toolName?: string;
      /** Of a tool call: who executes it. */
      readonly executor?: 'agent' | 'client';
    }
  | {
      readonly type: 'delta';
      readonly runId: string;
      readonly messageId: string;
      readonly part: number;
      readonly kind: PartKind;
      /** UTF-16 code units of this part before `text`. */
      readonly at: number;
      readonly text: string;
    }
  | {
      readonly type: 'tool.result';
      readonly runId: string;
      readonly toolCallId: string;
      readonly result?: unknown;
      readonly error?: unknown;
    }
  | {
      readonly type: 'run.restarted';
      readonly runId: string;
      readonly attempt: number;
      readonly part: number;
      readonly at: number;
    }
  | {
      readonly type: 'run.cancelling' | 'run.cancelled';
      readonly runId: string;
      readonly by?: string;
      readonly usage?: unknown;
    }
  | {
      readonly type: 'run.completed';
      readonly runId: string;
      readonly finishReason?: string;
      readonly usage?: unknown;
    }
  | { readonly type: 'run.failed'; readonly runId: string; readonly error: WireError; readonly usage?: unknown }
  | WaitEvent
  /** Offsets, inclusive, whose events the server has lost. */
  | { readonly type: 'lost'; readonly from: number; readonly to: number };

/** Control events have no position: they describe the stream, not the chat. */
export type ControlEvent =
  | { readonly type: 'live' }
  | { readonly type: 'reset'; readonly reason: string }
  | { readonly type: 'reconnect'; readonly afterMs: number }
  | { readonly type: 'expired' }
  | { readonly type: 'expiring'; readonly expiresAt: string }
  | ({ readonly type: 'queue'; readonly runId: string } & QueuePosition);

/** The server's estimate of a queued run's position in the queue. */
export interface QueuePosition {
  readonly ahead: number;
  /** It waits because an operator has paused its agent, its tenant or its chat. */
  readonly paused?: true;
  /** When it starts, where that is known. */
  readonly startsInSeconds?: number;
}

/** The answer of `POST …/messages`. The same `messageId` and content get the same answer again. */
export interface SendReceipt {
  readonly messageId: string;
  readonly runId: string;
  readonly position: string;
  /** Runs that were before this one when it was accepted. */
  readonly queued: number;
}

/** The answer of `answer`. The same answer again gets the same. */
export interface AnswerReceipt {
  readonly runId: string;
  /** Inputs of the run that are still open. With 0 the run continues. */
  readonly open: number;
}

/** The answer of `regenerate`. The same `answerId` gets the same answer again. */
export interface RegenerateReceipt extends SendReceipt {
  readonly answerId: string;
}

/** One chat in the list. Fields that the server leaves out are absent. */
export interface SessionSummary {
  readonly sessionId: string;
  readonly title?: string;
  readonly metadata?: unknown;
  readonly createdAt?: string;
  readonly lastActiveAt?: string;
  readonly expiresAt?: string;
  /** Is an answer being written, or about to be? Also while it waits for an input. */
  readonly isActive: boolean;
  /** Does its run wait for an answer of a reader? */
  readonly isWaiting: boolean;
}

/** An agent that a prompt may name. */
export interface AgentInfo {
  readonly name: string;
  readonly description?: string;
  /** Used if a prompt names no model. */
  readonly model: string;
  /** All models that a prompt may name. */
  readonly models: readonly string[];
  /** UTF-16 code units of a prompt. */
  readonly promptCharsMax?: number;
  /** Answers prompts that name no agent. */
  readonly isDefault: boolean;
  /** The built-in demo model answers. */
  readonly isDemo: boolean;
}

export interface AgentList {
  readonly agents: readonly AgentInfo[];
  /** False: the gateway has no list of agents, and takes prompts for any name. */
  readonly isComplete: boolean;
}

export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  /** Is there another page after this one? */
  readonly more: boolean;
  /** The argument for the next page. */
  readonly after?: string;
}

/** A message of the history: whole, without the events that made it. */
export interface HistoryMessage {
  readonly messageId: string;
  readonly role: string;
  readonly content: MessageContent;
  readonly status?: string;
  readonly runId?: string;
  readonly createdAt?: string;
  readonly usage?: unknown;
  readonly parts?: readonly unknown[];
}

export interface HistoryPage {
  readonly messages: readonly HistoryMessage[];
  readonly position?: string;
  /** Requests the next older page; absent on the oldest page. */
  readonly before?: string;
  /** The first and the last position of each lost part, also before the first and behind the last message of the
   *  chat. Absent without any. */
  readonly lost?: readonly { readonly from: string; readonly to: string }[];
}
