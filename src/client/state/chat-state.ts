// What a reader sees of a chat: messages made of parts, and the runs that write them. Plain immutable values: a changed
// value is a new object and an unchanged one is the same object, so a view may compare by identity. Only `chat-fold.ts`
// makes new ones from events.
import type {
  InputAnswer,
  InputClosedReason,
  InputRequest,
  PartKind,
  ToolResult,
  WireError,
} from '../protocol/wire-events.ts';

export interface TextPart {
  /** The part's number within its run. Stable across reconnects, so a view can use it as a key. */
  readonly part: number;
  readonly kind: 'text' | 'reasoning';
  /** The offset of `text` in the part, in UTF-16 units. Not 0 only if the server has dropped the beginning. */
  readonly start: number;
  readonly text: string;
}

export interface ToolCallPart {
  readonly part: number;
  readonly kind: 'tool-call';
  readonly start: number;
  /** The arguments as the model writes them: JSON once the part is whole. */
  readonly text: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  /** Who executes the call: the agent, or the client, which sends the result with the next prompt. */
  readonly executor?: 'agent' | 'client';
  readonly result?: unknown;
  readonly error?: unknown;
}

/** A content part of a prompt that is not text, such as an image, as it was sent. */
export interface AttachmentPart {
  readonly part: number;
  readonly kind: 'attachment';
  readonly content: unknown;
}

export type Part = TextPart | ToolCallPart | AttachmentPart;

/** The alternatives of a message, in the order in which they began: "2 of 3". */
export interface Alternatives {
  /** The number of the shown one, from 1. */
  readonly place: number;
  readonly count: number;
  /** The runs to select for the previous and the next alternative, each the last run after it. */
  readonly previous: string | undefined;
  readonly next: string | undefined;
}

/** What a run asks its readers for. Anybody who may write to the chat answers it, once, with `chat.answer`. */
export interface Input extends InputRequest {
  /** `closed`: it ended without an answer. */
  readonly state: 'open' | 'answered' | 'closed';
  /** The leg of the run that asks: a leg is what a run writes between two waits. */
  readonly leg: number;
  /** The last part that was written before it; absent before the first. */
  readonly afterPart?: number;
  /** Of an answered input. */
  readonly answer?: InputAnswer;
  /** The user who answered. */
  readonly answeredBy?: string;
  readonly answeredAt?: string;
  /** Of a closed input. */
  readonly closedReason?: InputClosedReason;
}

export interface Message {
  readonly messageId: string;
  /** `user`, `assistant`, or another role the server names. */
  readonly role: string;
  readonly parts: readonly Part[];
  readonly createdAt?: string;
  /** Of a prompt: the run that answers it on the shown branch. Of an answer: the run that writes it. Its state is in
   *  `runs`. */
  readonly runId?: string;
  /** Of a prompt: what calls of the answer before gave. Its parts may be empty. */
  readonly toolResults?: readonly ToolResult[];
  /** Of an answer: what its run asks for, and asked for, oldest first. Absent where it asked for nothing. */
  readonly inputs?: readonly Input[];
  /** It came before the first prompt, from a conversation that was held elsewhere. On every branch. */
  readonly isGiven?: true;
  /** Of a prompt: the run that it follows. Absent for the first prompt of the chat. */
  readonly follows?: string;
  /** Of a prompt: the prompt that it replaces, on a branch of its own. */
  readonly replaces?: string;
  /** Of a prompt: the prompts that replace it; of an answer: the other answers to its prompt. */
  readonly alternatives?: Alternatives | undefined;
  /** Of a prompt whose run has not begun to answer: its other answers. */
  readonly answers?: Alternatives | undefined;
  /** `sending`: not acknowledged yet, and retried. `unsent`: abandoned, see `error`; to send it again with the same
   *  id is safe. `sent`: durable on the server. */
  readonly delivery: 'sending' | 'unsent' | 'sent';
  /** Why it is `unsent`. */
  readonly error?: WireError;
}

/** `waiting`: it waits for the inputs of its answer, without a worker. */
export type RunState = 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled';

export interface Run {
  readonly runId: string;
  readonly state: RunState;
  /** The prompt that the run answers. */
  readonly promptId?: string;
  /** The answer it writes, once it has started. */
  readonly messageId?: string;
  /** 1 for the first; higher after a worker took over from another. */
  readonly attempt: number;
  /** How often it was resumed after a wait. Absent before that. */
  readonly leg?: number;
  readonly model?: string;
  readonly agent?: string;
  /** A stop was requested and has not taken effect yet. */
  readonly cancelling: boolean;
  /** While queued: runs before it, if the server has sent the number. */
  readonly ahead?: number | undefined;
  /** While queued: it waits because an operator has paused its agent, its tenant or its chat. */
  readonly paused?: true | undefined;
  /** While queued: when it starts, if the server has sent an estimate. */
  readonly startsInSeconds?: number | undefined;
  /** Of a failed run. */
  readonly error?: WireError;
  /** Of a completed run. */
  readonly finishReason?: string;
  /** Of a run that has ended, where the provider reported it. */
  readonly usage?: unknown;
  /** Of a cancelled run: the user who stopped it. */
  readonly cancelledBy?: string;
}

export interface ChatState {
  /** The position of the last durable event in this state; undefined before the first. */
  readonly position?: string;
  readonly title?: string;
  readonly metadata?: unknown;
  /** The shown branch, in the order of the conversation: an answer is after its prompt. */
  readonly messages: readonly Message[];
  /** The messages of all other branches, so that another branch can be shown at once. Their order has no meaning. */
  readonly hidden: readonly Message[];
  /** The last run of the shown branch: the next prompt follows it. */
  readonly tip?: string | undefined;
  /** The runs of all branches, in the order in which they were requested. */
  readonly runs: readonly Run[];
  /** The server has announced that the chat ends at this time although it is watched, unless `keep` extends it. */
  readonly expiresAt?: string;
  /** Parts of the chat that the server has lost. Absent without any. */
  readonly lost?: readonly LostPart[];
}

/** Events from offset `from` to `to` are lost: messages may be missing there, or the text of an answer. */
export interface LostPart {
  readonly from: number;
  readonly to: number;
  /** The message that came before it in the log; undefined where the beginning of the chat is lost. */
  readonly after: string | undefined;
}

export const EMPTY_CHAT: ChatState = { messages: [], hidden: [], runs: [] };

/** Whether the terminal of the run is still to come. */
export function isOpen(run: Run): boolean {
  return run.state === 'queued' || run.state === 'running' || run.state === 'waiting';
}

export function isTextual(kind: PartKind): kind is 'text' | 'reasoning' {
  return kind === 'text' || kind === 'reasoning';
}
