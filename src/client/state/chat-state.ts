// What a chat looks like to a reader: messages made of parts, and the runs that write them. Plain immutable
// values: whatever changed is a new object and whatever did not is the same one, so a view may compare by
// identity. `chat-fold.ts` is the only file that makes new ones out of events.
import type { PartKind, WireError } from '../protocol/wire-events.ts';

export interface TextPart {
  /** The part's number within its run: stable across reconnects, so a key for rendering. */
  readonly part: number;
  readonly kind: 'text' | 'reasoning';
  /** Where in the part `text` begins, in UTF-16 units. Not 0 only where the server has dropped the beginning. */
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

/** What else stands in the place of a message, in the order in which it was begun: "2 of 3". */
export interface Alternatives {
  /** Of the one that is shown, from 1. */
  readonly place: number;
  readonly count: number;
  /** The runs to select to show the one before and the one after, each with what was said after it last. */
  readonly previous: string | undefined;
  readonly next: string | undefined;
}

export interface Message {
  readonly messageId: string;
  /** `user`, `assistant`, or another role the server names. */
  readonly role: string;
  readonly parts: readonly Part[];
  readonly createdAt?: string;
  /** Of a prompt: the run that answers it on the branch that is shown. Of an answer: the run that writes it. Its state
   *  is in `runs`. */
  readonly runId?: string;
  /** Of a prompt: the run it stands after. Absent where it begins the chat. */
  readonly follows?: string;
  /** Of a prompt: the one in whose place it was sent, as a branch. */
  readonly replaces?: string;
  /** Other prompts in the place of this one; of an answer, other answers to its prompt. */
  readonly alternatives?: Alternatives | undefined;
  /** Of a prompt whose run has not begun to answer: its other answers. */
  readonly answers?: Alternatives | undefined;
  /** `sending`: not acknowledged yet, being retried. `unsent`: given up, see `error`; sending it again with the
   *  same id is safe. `sent`: the server has it for good. */
  readonly delivery: 'sending' | 'unsent' | 'sent';
  /** Why it is `unsent`. */
  readonly error?: WireError;
}

export type RunState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface Run {
  readonly runId: string;
  readonly state: RunState;
  /** The message that asked for it. */
  readonly promptId?: string;
  /** The answer it writes, once it has started. */
  readonly messageId?: string;
  /** 1 for the first; higher after a worker took over from another. */
  readonly attempt: number;
  readonly model?: string;
  readonly agent?: string;
  /** A stop was asked for and has not taken effect yet. */
  readonly cancelling: boolean;
  /** While queued: runs before it, where the server has said so. */
  readonly ahead?: number | undefined;
  /** Of a failed run. */
  readonly error?: WireError;
  /** Of a completed run. */
  readonly finishReason?: string;
  readonly usage?: unknown;
  /** Of a cancelled run: who asked. */
  readonly cancelledBy?: string;
}

export interface ChatState {
  /** Of the last durable event that is in here; undefined before the first. */
  readonly position?: string;
  readonly title?: string;
  readonly metadata?: unknown;
  /** The branch that is shown, in the order of the conversation: an answer stands after the message that asked for it. */
  readonly messages: readonly Message[];
  /** The messages of all other branches, so that one can be shown at once. In no order that means anything. */
  readonly hidden: readonly Message[];
  /** The last run of the branch that is shown: what the next prompt follows. */
  readonly tip?: string | undefined;
  /** Of all branches, in the order in which they were asked for. */
  readonly runs: readonly Run[];
}

export const EMPTY_CHAT: ChatState = { messages: [], hidden: [], runs: [] };

/** Does the run still have an end to come? */
export function isOpen(run: Run): boolean {
  return run.state === 'queued' || run.state === 'running';
}

export function isTextual(kind: PartKind): kind is 'text' | 'reasoning' {
  return kind === 'text' || kind === 'reasoning';
}
