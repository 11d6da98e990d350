// The projection of one run for a wire that turns changes into frames: folds the run, and decides what a reader that
// comes, or comes back, is sent before the live changes. Wires give `RunFrames` and hold no fold and no text of their
// own.
import type { QueuePosition } from '../session/events/queue-position.ts';
import type { ControlEvent, ParsedEvent, Projection, Seed } from './projection.ts';
import type { Change } from './run/run-change.ts';
import { RunView } from './run/run-view.ts';

/** How one wire shows a run. Called with the changes that one reader is sent, in order. */
export interface RunFrames {
  /** The frames of one change. `view`: the fold behind the event of the change, so parts may have grown by more than
   *  this change. `offset`: of that event. Undefined: the protocol cannot express the change, and the gateway cuts the
   *  connection. */
  tell(change: Change, view: RunView, offset: number): string | undefined;
  /** With `fold`: the frames of everything that the fold holds, for a reader that comes. Default: of
   *  `view.changes()`. Undefined: the gateway cuts the connection. */
  open?(view: RunView): string | undefined;
  /** The run waits, and its place has changed. Default: no frame. */
  queue?(position: QueuePosition): string;
  /** The last frames have ended the stream before the end of the run. */
  readonly isOver?: boolean;
}

/** `fold`: a reader receives the run as it is now, as frames of its fold, and then the changes. It is never sent text
 *  that a restart dropped before it came. `Seed.after` does not count.
 *  `events`: a reader receives the changes of all events behind `Seed.after`, also of those that a restart has dropped
 *  since: for protocols whose frames have numbers or offsets. The changes up to `after` are folded without a frame. */
export type Replay = 'fold' | 'events';

/** Ends behind the frames of `ended`. Breaks where the wire cannot express a change, where records are lost, and where
 *  the chat or the connection ends before the run (`reset`, `reconnect`, `expired`). */
export function projectRun(seed: Seed, frames: RunFrames, replay: Replay): Projection {
  return new RunProjection(seed, frames, replay);
}

class RunProjection implements Projection {
  readonly #view: RunView;
  readonly #frames: RunFrames;
  readonly #replay: Replay;
  readonly #after: number;
  /** With `events`: frames of the catch-up. */
  #unsent = '';
  #isBroken = false;
  over: Projection['over'];

  constructor({ runId, after = -1 }: Seed, frames: RunFrames, replay: Replay) {
    this.#view = new RunView(runId);
    this.#frames = frames;
    this.#replay = replay;
    this.#after = after;
    if (replay === 'events') this.#view.show();
  }

  get isComplete(): boolean {
    return this.#isBroken || this.#view.hasEnded;
  }

  fold(events: readonly ParsedEvent[]): void {
    if (this.#replay === 'events') {
      this.#unsent += this.#tellAll(events);
      return;
    }
    for (const { event, offset } of events) this.#view.apply(event, offset);
  }

  open(): string {
    if (this.#replay === 'events') return this.#finish(this.#unsent);
    this.#view.show();
    if (this.#view.isLost) this.#isBroken = true;
    return this.#finish(this.#isBroken ? '' : this.#openFold());
  }

  next(events: readonly ParsedEvent[]): string {
    return this.#finish(this.#tellAll(events));
  }

  control(event: ControlEvent): string {
    if (event.type === 'reset' || event.type === 'reconnect' || event.type === 'expired') this.over ??= 'break';
    if (event.type !== 'queue' || event.runId !== this.#view.runId) return '';
    return this.#frames.queue?.(event) ?? '';
  }

  #openFold(): string {
    if (this.#frames.open === undefined) return this.#tell(this.#view.changes(), this.#view.offset);
    const text = this.#frames.open(this.#view);
    if (text === undefined) this.#isBroken = true;
    return text ?? '';
  }

  #tellAll(events: readonly ParsedEvent[]): string {
    let text = '';
    for (const { event, offset } of events) {
      const changes = this.#view.apply(event, offset);
      if (offset > this.#after || this.#replay === 'fold') text += this.#tell(changes, offset);
    }
    return text;
  }

  #tell(changes: readonly Change[], offset: number): string {
    let text = '';
    for (const change of changes) {
      if (this.#isBroken) break;
      const told = change.type === 'lost' ? undefined : this.#frames.tell(change, this.#view, offset);
      if (told === undefined) this.#isBroken = true;
      else text += told;
    }
    return text;
  }

  #finish(text: string): string {
    this.#unsent = '';
    if (this.#isBroken) this.over ??= 'break';
    else if (this.#view.hasEnded || this.#frames.isOver === true) this.over ??= 'end';
    return text;
  }
}
