// The fold of one run as a reader holds it. A reader that catches up has a fold of its own. Live readers of a node
// share one, because all of them are given the same events, each one before the next (lockstep.ts).
import type { ChatEvent } from '../../session/events/chat-event.ts';
import type { Change, LostRecords } from './run-change.ts';
import { RunView } from './run-view.ts';

/** One fold, and what its last event changed. */
interface HeldFold {
  readonly view: RunView;
  readers: number;
  at: number;
  changes: readonly Change[];
}

export class ReaderFold {
  #held: HeldFold;

  constructor(runId: string) {
    this.#held = { view: new RunView(runId), readers: 1, at: -1, changes: [] };
  }

  /** Do not keep it: another one takes its place when the reader goes live. */
  get view(): RunView {
    return this.#held.view;
  }

  /** How many readers share it. */
  get readers(): number {
    return this.#held.readers;
  }

  /** As `RunView.apply`. Readers that share a fold call it once each for an event, and the first call applies it. */
  apply(event: ChatEvent | LostRecords, offset: number): readonly Change[] {
    const held = this.#held;
    if (held.at !== offset) {
      held.changes = held.view.apply(event, offset);
      held.at = offset;
    }
    return held.changes;
  }

  /** Gives up its own fold for that of another reader. Only where both are the same (`RunView.isSame`). */
  share(other: ReaderFold): void {
    if (this.#held === other.#held) return;
    this.#held.readers -= 1;
    this.#held = other.#held;
    this.#held.readers += 1;
  }

  /** Takes a fold of its own again, at the same place. `isOver`: the reader needs none any more: nothing is copied. */
  part(isOver: boolean): void {
    const shared = this.#held;
    if (shared.readers === 1) return;
    shared.readers -= 1;
    this.#held = { ...shared, view: isOver ? new RunView(shared.view.runId) : shared.view.copy(), readers: 1 };
  }
}
