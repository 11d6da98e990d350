// A history: what the clients, readers and the machine saw, as one flat list of small JSON objects in the order of one
// clock. A world in one process records into a `History`. Processes that write JSON lines are read with `parseHistory`,
// and only need a common time stamp. Positions are the text of the wire (`epoch.offset`); events are the data of their
// frame.

/** Whoever makes a call names it; a name is used once. */
export interface SendInvoked {
  readonly kind: 'send';
  readonly call: string;
  readonly session: string;
  readonly messageId: string;
  readonly content: string;
  readonly onBusy?: 'queue' | 'interrupt' | 'reject';
}
export interface SendAccepted {
  readonly kind: 'sent';
  readonly call: string;
  readonly runId: string;
  /** The position of `message.created`. */
  readonly position: string;
}
export interface CancelInvoked {
  readonly kind: 'cancel';
  readonly call: string;
  readonly session: string;
  readonly runId?: string;
}
export interface CancelAccepted {
  readonly kind: 'cancelled';
  readonly call: string;
  readonly runId: string;
}
/** Replaces the content of a prompt whose run is queued. */
export interface EditInvoked {
  readonly kind: 'edit';
  readonly call: string;
  readonly session: string;
  readonly messageId: string;
  readonly content: string;
}
export interface EditAccepted {
  readonly kind: 'edited';
  readonly call: string;
}
/** Answers what a run asks a human for. No two humans give the same value. */
export interface AnswerInvoked {
  readonly kind: 'answer';
  readonly call: string;
  readonly session: string;
  readonly inputId: string;
  readonly value: string;
}
export interface AnswerAccepted {
  readonly kind: 'answered';
  readonly call: string;
}
export interface RemoveInvoked {
  readonly kind: 'remove';
  readonly call: string;
  readonly session: string;
}
export interface RemoveAccepted {
  readonly kind: 'removed';
  readonly call: string;
}
/** The answer to any call: certainly nothing was written. */
export interface CallRefused {
  readonly kind: 'refused';
  readonly call: string;
  readonly code: string;
}
/** The outcome of any call: no answer came. A call without any answer in the history means the same. */
export interface CallUnknown {
  readonly kind: 'unknown';
  readonly call: string;
}

/** A reader opens a connection. It has at most one at a time, and keeps what it holds when it gives `after`. */
export interface Connected {
  readonly kind: 'connect';
  readonly reader: string;
  readonly session: string;
  readonly node: string;
  readonly wire: string;
  /** The position that the reader holds; absent: from the earliest record. */
  readonly after?: string;
  /** Reads the finished chat from the earliest record to `live`, after everything was healed. */
  readonly final?: true;
}
export interface EventSeen {
  readonly kind: 'event';
  readonly reader: string;
  readonly id: string;
  readonly type: string;
  readonly data: EventData;
}
export interface LiveSeen {
  readonly kind: 'live';
  readonly reader: string;
  readonly position: string | null;
}
export interface ResetSeen {
  readonly kind: 'reset';
  readonly reader: string;
  readonly reason: string;
}
/** `cut`: by the reader or its network. The server causes every other reason: `removed`, `reset`, `failed`, … */
export interface Ended {
  readonly kind: 'end';
  readonly reader: string;
  readonly reason: string;
}
/** The messages of a chat as one node folds them, after everything was healed. */
export interface FoldSeen {
  readonly kind: 'fold';
  readonly session: string;
  readonly node: string;
  readonly messages: readonly FoldedMessage[];
}
export interface FoldedMessage {
  readonly messageId: string;
  readonly role: string;
  readonly content: unknown;
  readonly status: string;
}

/** A fault was made. `declaresLoss`: visible records may be lost, and then the epochs change. `changesEpoch`: the
 *  epochs change, and everything acknowledged is at the same offsets of the next epoch; only records that were visible
 *  and not acknowledged may be lost. */
export interface Crashed {
  readonly kind: 'crash';
  readonly what: string;
  readonly declaresLoss: boolean;
  readonly changesEpoch?: true;
}
/** After everything was healed, something that must happen did not. */
export interface Stuck {
  readonly kind: 'stuck';
  readonly what: string;
}
/** The log could not be opened again after a crash. */
export interface Unopened {
  readonly kind: 'unopened';
  readonly what: string;
}
/** A failure that no promise allows. */
export interface Faulted {
  readonly kind: 'fault';
  readonly what: string;
}

export type EventData = Readonly<Record<string, unknown>>;

export type Observed =
  | SendInvoked
  | SendAccepted
  | CancelInvoked
  | CancelAccepted
  | EditInvoked
  | EditAccepted
  | AnswerInvoked
  | AnswerAccepted
  | RemoveInvoked
  | RemoveAccepted
  | CallRefused
  | CallUnknown
  | Connected
  | EventSeen
  | LiveSeen
  | ResetSeen
  | Ended
  | FoldSeen
  | Crashed
  | Unopened
  | Stuck
  | Faulted;

/** `t` rises through a history: a call that began after another one was answered has the later stamp. */
export type Observation = Observed & { readonly t: number };

export class History {
  readonly #observations: Observation[] = [];

  record(observed: Observed): void {
    this.#observations.push({ t: this.#observations.length + 1, ...observed });
  }

  get observations(): readonly Observation[] {
    return this.#observations;
  }
}

/** Merges the JSON lines of any number of processes by their stamps. @throws SyntaxError */
export function parseHistory(texts: readonly string[]): Observation[] {
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line !== '');
  // Only the recorders of these tests write these lines, so their shape is not checked.
  return lines.map((line) => JSON.parse(line) as Observation).sort((a, b) => a.t - b.t);
}
