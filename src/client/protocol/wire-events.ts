// The wire types of PROTOCOL §3 and §4 as this client understands them: durable events, control events and
// the bodies of the HTTP calls. It owns no behaviour and shares no code with the server, only this vocabulary,
// so that the SDK can be shipped alone. `wire-codec.ts` turns what came off a wire into these.

/** Something an event stream carried, before it is understood. Only durable events have an id (a position). */
export interface WireFrame {
  readonly id?: string;
  readonly event: string;
  readonly data: unknown;
}

export type PartKind = 'text' | 'reasoning' | 'tool-call';

/** The prompt of a message: plain text, or OpenAI-style content parts such as `{ type: 'text', text }`. */
export type MessageContent = string | readonly ContentPart[];

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
      readonly createdAt?: string;
      /** The prompt in whose place it stands, as a branch. */
      readonly replaces?: string;
    }
  | { readonly type: 'message.edited'; readonly messageId: string; readonly content: MessageContent }
  | { readonly type: 'branch.selected'; readonly runId: string }
  | {
      readonly type: 'run.queued';
      readonly runId: string;
      readonly messageId: string;
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
    }
  | {
      readonly type: 'delta';
      readonly runId: string;
      readonly messageId: string;
      readonly part: number;
      readonly kind: PartKind;
      /** UTF-16 code units of this part that lie before `text`. */
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
  | { readonly type: 'run.cancelling' | 'run.cancelled'; readonly runId: string; readonly by?: string }
  | {
      readonly type: 'run.completed';
      readonly runId: string;
      readonly finishReason?: string;
      readonly usage?: unknown;
    }
  | { readonly type: 'run.failed'; readonly runId: string; readonly error: WireError };

/** Control events have no position: they speak about the stream, not about the chat. */
export type ControlEvent =
  | { readonly type: 'live' }
  | { readonly type: 'reset'; readonly reason: string }
  | { readonly type: 'reconnect'; readonly afterMs: number }
  | { readonly type: 'expired' }
  | { readonly type: 'queue'; readonly runId: string; readonly ahead: number };

/** What `POST …/messages` answers. The same `messageId` and content again gives the same answer. */
export interface SendReceipt {
  readonly messageId: string;
  readonly runId: string;
  readonly position: string;
  /** Runs that were before this one when it was accepted. */
  readonly queued: number;
}

/** What regenerating answers. The same `answerId` again gives the same answer. */
export interface RegenerateReceipt extends SendReceipt {
  readonly answerId: string;
}

/** One line of the list of chats. Fields a server leaves out are absent. */
export interface SessionSummary {
  readonly sessionId: string;
  readonly title?: string;
  readonly metadata?: unknown;
  readonly createdAt?: string;
  readonly lastActiveAt?: string;
  readonly expiresAt?: string;
  /** Is an answer being written, or about to be? */
  readonly isActive: boolean;
}

/** Whom a prompt may be for. */
export interface AgentInfo {
  readonly name: string;
  readonly description?: string;
  /** Asked for where a prompt names none. */
  readonly model: string;
  /** All that a prompt may name. */
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
  /** False: the gateway was told of no agents, and takes prompts for any name. */
  readonly isComplete: boolean;
}

export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  /** Is there another page after this one? */
  readonly more: boolean;
  /** Asks for that page. */
  readonly after?: string;
}

/** A message as the folded history gives it: whole, without the way it came about. */
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
}
