// What a history knows of one session: who tried to do what to it, its lives, and how it was read in the end.
import type { Position } from '../../src/broker/position.ts';
import type { EditInvoked, FoldSeen, SendInvoked } from './history.ts';
import { Life } from './life.ts';

/** A call, from its invocation to its answer. */
export interface Attempt {
  readonly invokedAt: number;
  /** Infinity where no answer came: its effect may come at any time. */
  endedAt: number;
  /** `unknown`: it may have been done, once, now or later. */
  outcome: 'unknown' | 'ok' | 'refused';
}

export interface SendAttempt extends Attempt {
  readonly send: SendInvoked;
  /** Epoch → the last acknowledged position there when this message was first sent; Infinity: that life was over. */
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
  /** Sends that interrupt what runs: each may stop any run. */
  readonly interrupts: SendAttempt[] = [];
  readonly cancels: CancelAttempt[] = [];
  readonly edits: EditAttempt[] = [];
  readonly removals: Attempt[] = [];
  readonly lives = new Map<string, Life>();
  readonly finals: FinalRead[] = [];
  readonly folds: FoldSeen[] = [];
  /** Epoch → the last acknowledged position so far; Infinity once that life is over for sure. */
  readonly acked = new Map<string, number>();
  /** Epoch → when something was first acknowledged in it. */
  readonly knownSince = new Map<string, number>();
  readonly #firstSent = new Map<string, number>();

  constructor(id: string) {
    this.id = id;
  }

  life(epoch: string): Life {
    let life = this.lives.get(epoch);
    if (life === undefined) {
      life = new Life(this.id, epoch);
      this.lives.set(epoch, life);
    }
    return life;
  }

  /** The life in which it ended, if it was there in the end. */
  get finalLife(): Life | undefined {
    for (const life of this.lives.values()) if (life.story !== undefined) return life;
    return undefined;
  }

  /** When a message was first sent that was acknowledged in this life: it cannot have ended before. */
  firstSentIn(epoch: string): number | undefined {
    return this.#firstSent.get(epoch);
  }

  noteAccepted(epoch: string, offset: number, call: { readonly invokedAt: number; readonly endedAt: number }): void {
    if (!this.knownSince.has(epoch)) this.knownSince.set(epoch, call.endedAt);
    this.#firstSent.set(epoch, Math.min(call.invokedAt, this.#firstSent.get(epoch) ?? Number.POSITIVE_INFINITY));
    this.acked.set(epoch, Math.max(offset, this.acked.get(epoch) ?? -1));
  }

  /** Every accepted send: message and answer. */
  *accepted(): Generator<Required<Pick<SendAttempt, 'runId' | 'position'>> & SendAttempt> {
    for (const attempts of this.messages.values()) {
      for (const attempt of attempts) {
        const { runId, position } = attempt;
        if (runId !== undefined && position !== undefined) yield { ...attempt, runId, position };
      }
    }
  }
}

/** Could it have had its effect before `t`? */
export function mayHaveHappened(attempt: Attempt, t: number): boolean {
  return attempt.outcome !== 'refused' && attempt.invokedAt < t;
}
