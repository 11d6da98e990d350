// The events of a run that waits for a human: what it asks, each answer, and its continuation. PROTOCOL §4.
/** The error of a call whose result did not come in time. For models, and for readers. */
export const NO_ANSWER = 'no answer came in time';

/** What a run asks a human for: whether a call may be made, the answer to a question, or the result of a call that the
 *  client executes. */
export type InputKind = 'approval' | 'question' | 'tool';

/** A run asks for an input. All inputs of one wait, and the `run.waiting` behind them, are one append. */
export interface InputRequested {
  readonly type: 'input.requested';
  readonly runId: string;
  /** Derived from the run, the leg and the key of the input, so that a takeover does not ask again. */
  readonly inputId: string;
  readonly kind: InputKind;
  /** The call of this answer that the input is about. Absent of a question that belongs to no call. */
  readonly toolCallId?: string;
  readonly toolName?: string;
  /** For the human. */
  readonly message?: string;
  /** JSON Schema of the `value` of a question or the `result` of a tool. */
  readonly schema?: Readonly<Record<string, unknown>>;
  /** The values that a question accepts. */
  readonly choices?: readonly string[];
  readonly createdAt: string;
  readonly expiresAt: string;
}
/** The run waits for these inputs. No worker has it, and nothing of its answer is written until it is resumed. */
export interface RunWaiting {
  readonly type: 'run.waiting';
  readonly runId: string;
  readonly inputs: readonly string[];
  readonly createdAt: string;
  /** All open inputs are closed at this time. */
  readonly expiresAt: string;
}
/** An approval has `approved`, a question has `value`, a tool has `result`. A question or a tool that is declined has
 *  `error`. */
export interface InputReply {
  readonly approved?: boolean;
  /** Why an approval was given or refused. */
  readonly reason?: string;
  readonly value?: unknown;
  readonly result?: unknown;
  readonly error?: string;
}
export interface InputAnswered extends InputReply {
  readonly type: 'input.answered';
  readonly runId: string;
  readonly inputId: string;
  readonly by: string;
  readonly createdAt: string;
}
/** The input ended without an answer. */
export interface InputClosed {
  readonly type: 'input.closed';
  readonly runId: string;
  readonly inputId: string;
  readonly reason: 'expired' | 'cancelled';
  readonly createdAt: string;
}
/** A worker continues the run after a wait. What follows belongs to this leg, and begins with a new part. */
export interface RunResumed {
  readonly type: 'run.resumed';
  readonly runId: string;
  /** Id of the answer. */
  readonly messageId: string;
  /** From 1. The leg before the first wait is 0. */
  readonly leg: number;
  readonly attempt: number;
  readonly createdAt: string;
  readonly unwatchedMs?: number;
}

export type WaitEvent = InputRequested | RunWaiting | InputAnswered | InputClosed | RunResumed;
