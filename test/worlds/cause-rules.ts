// Rule C8: a reset, the end of a stream as removed, and a new epoch each need a cause: a removal, a declared loss, or a
// fault that changes epochs. Rule C2 for sends acknowledged in an epoch that is over: the same cause excuses them, or
// the message is at the same offset of the next epoch.
import type { Position } from '../../src/broker/position.ts';
import type { HistoryIndex } from './history-index.ts';
import { mayHaveHappened, type SessionRecord } from './session-record.ts';
import type { Violations } from './violation.ts';

/** Reset reasons that a removal never excuses: after a removal no reader is ahead of the log, and no hole is
 *  undeclared. */
const NEVER_BY_REMOVAL: ReadonlySet<string> = new Set(['ahead-of-log', 'undeclared-hole', 'trimmed']);

export class CauseRules {
  readonly #losses: readonly number[];
  readonly #turnings: readonly number[];
  readonly #found: Violations;

  constructor({ losses, turnings }: Pick<HistoryIndex, 'losses' | 'turnings'>, found: Violations) {
    this.#losses = losses;
    this.#turnings = turnings;
    this.#found = found;
  }

  checkReset(
    session: SessionRecord,
    seen: { reader: string; reason: string; held: Position | undefined; t: number },
  ): void {
    const { reader, reason, held, t } = seen;
    const caused =
      this.#turnings.some((turning) => turning < t) ||
      (!NEVER_BY_REMOVAL.has(reason) && wasRemoved(session, held?.epoch, t));
    if (!caused)
      this.#found.add(
        'C8',
        `${reader} on ${session.id} was reset (${reason}) holding ${held === undefined ? 'nothing' : `${held.epoch}.${held.offset}`}, and nothing had caused it`,
      );
  }

  /** Checks a stream that ended because the session does not exist, although it existed when the stream began. */
  checkGone(
    session: SessionRecord,
    seen: { reader: string; held: Position | undefined; connectedAt: number; t: number },
  ): void {
    const { reader, held, connectedAt, t } = seen;
    const wasThere = held !== undefined || [...session.knownSince.values()].some((since) => since < connectedAt);
    if (!wasThere || this.#wasLost(t) || wasRemoved(session, held?.epoch, t)) return;
    this.#found.add('C8', `${reader} received that ${session.id} does not exist, and no client had removed it`);
  }

  checkEpochs(session: SessionRecord): void {
    const removals = session.removals.filter((removal) => removal.outcome !== 'refused').length;
    const epochs = session.epochs.size;
    if (epochs > 1 + removals + this.#turnings.length) {
      this.#found.add(
        'C8',
        `${session.id} had ${epochs} epochs (${[...session.epochs.keys()].join(', ')}), with ${removals} removals and ${this.#turnings.length} faults that change epochs`,
      );
    }
    const final = session.finalEpoch?.epoch;
    for (const { position, send, endedAt } of session.accepted()) {
      if (
        position.epoch === final ||
        wasRemoved(session, position.epoch, Number.POSITIVE_INFINITY) ||
        this.#losses.some((t) => t > endedAt)
      )
        continue;
      if (this.#turnings.length > 0 && stands(session, position.offset, send.messageId)) continue;
      this.#found.add(
        'C2',
        `${send.messageId} of ${session.id} was acknowledged at ${position.epoch}.${position.offset}, and the session ${final === undefined ? 'is gone' : `is in epoch ${final}`} in the end`,
      );
    }
  }

  #wasLost(t: number): boolean {
    return this.#losses.some((loss) => loss < t);
  }
}

/** True where the final epoch has this message at the same offset: a fail-over continues the log in a new epoch. */
function stands(session: SessionRecord, offset: number, messageId: string): boolean {
  const event = session.finalEpoch?.story?.eventAt(offset);
  return event?.type === 'message.created' && event.data['messageId'] === messageId;
}

/** Could a removal have ended this epoch before `t`? A removal that had ended before the first send to this epoch could
 *  not. */
function wasRemoved(session: SessionRecord, epoch: string | undefined, t: number): boolean {
  const begun = epoch === undefined ? undefined : session.firstSentIn(epoch);
  return session.removals.some(
    (removal) => mayHaveHappened(removal, t) && (begun === undefined || removal.endedAt > begun),
  );
}
