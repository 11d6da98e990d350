// What happened, as those who were there saw it: one flat list of small JSON objects in the order of one clock. A
// world in one process records into a `History`; processes that write JSON lines are read with `parseHistory`, and
// need no more than a common stamp. Positions are the text of the wire (`epoch.offset`), events what a frame held.

/** Calls are named by whoever makes them; the name is used once. */
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
  /** Of `message.created`. */
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
/** Of a prompt that waits: it says this instead. */
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
export interface RemoveInvoked {
  readonly kind: 'remove';
  readonly call: string;
  readonly session: string;
}
export interface RemoveAccepted {
  readonly kind: 'removed';
  readonly call: string;
}
/** Of any call: certainly nothing was written. */
export interface CallRefused {
  readonly kind: 'refused';
  readonly call: string;
  readonly code: string;
}
/** Of any call: no answer came. A call that is never answered at all says the same. */
export interface CallUnknown {
  readonly kind: 'unknown';
  readonly call: string;
}

/** A reader opens a connection; it has at most one at a time, and keeps what it held before where it gives `after`. */
export interface Connected {
  readonly kind: 'connect';
  readonly reader: string;
  readonly session: string;
  readonly node: string;
  readonly wire: string;
  /** The position that it holds; absent: from the earliest. */
  readonly after?: string;
  /** Reads the finished chat from the earliest to `live`, after everything was healed. */
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
/** `cut`: by the reader or its network. Everything else is the server's doing: `removed`, `reset`, `failed`, … */
export interface Ended {
  readonly kind: 'end';
  readonly reader: string;
  readonly reason: string;
}
/** The folded messages of a chat, as a node gives them when everything was healed. */
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

/** A fault that was made. `declaresLoss`: visible records may be gone, and the epochs say so. `changesEpoch`: epochs
 *  change, and what was acknowledged goes on in the next one, where it was; only what was seen before that may be gone. */
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
/** After a crash the log could not be opened again. */
export interface Unopened {
  readonly kind: 'unopened';
  readonly what: string;
}
/** Something failed in a way that nobody promised. */
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

/** `t` rises through a history; what was invoked after something was answered has the later stamp. */
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

/** JSON lines of any number of processes, merged by their stamps. @throws SyntaxError */
export function parseHistory(texts: readonly string[]): Observation[] {
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line !== '');
  // Written by the recorders of our own tests, and by nothing else.
  return lines.map((line) => JSON.parse(line) as Observation).sort((a, b) => a.t - b.t);
}
