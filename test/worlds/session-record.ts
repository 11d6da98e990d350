// What a history contains about one session: the calls on it, its epochs, and its final reads.
import type { Position } from '../../src/broker/position.ts';
import type { AnswerInvoked, EditInvoked, FoldSeen, SendInvoked } from './history.ts';
import { EpochRecord } from './epoch-record.ts';

/** A call, from its start to its answer. */
export interface Attempt {
  readonly invokedAt: number;
  /** Infinity where no answer came: the call may take effect at any time. */
  endedAt: number;
  /** `unknown`: the call may have taken effect, once, or may do so later. */
  outcome: 'unknown' | 'ok' | 'refused';
}

export interface SendAttempt extends Attempt {
  readonly send: SendInvoked;
  /** Epoch → the last acknowledged offset in it when this message was first sent; Infinity when that epoch was over. */
  readonly floor: ReadonlyMap<string, number>;
  runId?: string;
  position?: Position;
}

export interface CancelAttempt extends Attempt {
  readonly wanted: string | undefined;
  runId?: string;
}

export interface EditAttempt extends Attempt {
  readonly edit: EditInvoked;
}

export interface AnswerAttempt extends Attempt {
  readonly answer: AnswerInvoked;
}

export interface FinalRead {
  readonly reader: string;
  readonly node: string;
  readonly wire: string;
  readonly events: {
    readonly offset: number;
    readonly epoch: string;
    readonly type: string;
    readonly data: Readonly<Record<string, unknown>>;
  }[];
  isLive: boolean;
}

export class SessionRecord {
  readonly id: string;
  readonly messages = new Map<string, SendAttempt[]>();
  /** Sends that interrupt the active run: each may stop any run. */
  readonly interrupts: SendAttempt[] = [];
  readonly cancels: CancelAttempt[] = [];
  readonly edits: EditAttempt[] = [];
  readonly answers: AnswerAttempt[] = [];
  readonly removals: Attempt[] = [];
  readonly epochs = new Map<string, EpochRecord>();
  readonly finals: FinalRead[] = [];
  readonly folds: FoldSeen[] = [];
  /** Epoch → the last acknowledged offset in it so far; Infinity once that epoch is certainly over. */
  readonly acked = new Map<string, number>();
  /** Epoch → the time of the first acknowledgement in it. */
  readonly knownSince = new Map<string, number>();
  readonly #firstSent = new Map<string, number>();

  constructor(id: string) {
    this.id = id;
  }

  epochRecord(epoch: string): EpochRecord {
    let record = this.epochs.get(epoch);
    if (record === undefined) {
      record = new EpochRecord(this.id, epoch);
      this.epochs.set(epoch, record);
    }
    return record;
  }

  /** The epoch of the final read, if the session exists at the end. */
  get finalEpoch(): EpochRecord | undefined {
    for (const record of this.epochs.values()) if (record.story !== undefined) return record;
    return undefined;
  }

  /** The earliest time at which a message was first sent that was acknowledged in this epoch: the epoch cannot have
   *  ended before. */
  firstSentIn(epoch: string): number | undefined {
    return this.#firstSent.get(epoch);
  }

  noteAccepted(epoch: string, offset: number, call: { readonly invokedAt: number; readonly endedAt: number }): void {
    if (!this.knownSince.has(epoch)) this.knownSince.set(epoch, call.endedAt);
    this.#firstSent.set(epoch, Math.min(call.invokedAt, this.#firstSent.get(epoch) ?? Number.POSITIVE_INFINITY));
    this.acked.set(epoch, Math.max(offset, this.acked.get(epoch) ?? -1));
  }

  /** Every accepted send, with its answer. */
  *accepted(): Generator<Required<Pick<SendAttempt, 'runId' | 'position'>> & SendAttempt> {
    for (const attempts of this.messages.values()) {
      for (const attempt of attempts) {
        const { runId, position } = attempt;
        if (runId !== undefined && position !== undefined) yield { ...attempt, runId, position };
      }
    }
  }
}

/** Could the call have taken effect before `t`? */
export function mayHaveHappened(attempt: Attempt, t: number): boolean {
  return attempt.outcome !== 'refused' && attempt.invokedAt < t;
}
