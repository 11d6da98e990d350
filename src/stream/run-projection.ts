// The projection of one run for a wire that turns changes into frames: folds the run, and decides what a reader that
// comes, or comes back, is sent before the live changes. Wires give `RunFrames` and hold no fold and no text of their
// own.
import type { QueuePosition } from '../session/events/queue-position.ts';
import type { ControlEvent, ParsedEvent, Projection, Seed } from './projection.ts';
import type { Change } from './run/run-change.ts';
import { ReaderFold } from './run/reader-fold.ts';
import type { RunView } from './run/run-view.ts';

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

/** Which part of a run one reader is sent, and where its stream ends. A stream always begins before the `run.queued` of
 *  the run (`EventStreams.startAtRun`), whatever its extent, because the fold needs the earlier legs.
 *  - `run`: all legs, to the end of the run. The stream stays open while the run waits.
 *  - `wait`: all legs. The stream ends at the end of the run, or where the run waits when the reader comes or while it
 *    reads. Only with the replay `fold`. A reader receives the `waiting` of earlier legs too: only of the one that ends
 *    the stream, `view.waitsBehind(change.leg)` is true.
 *  - a number: that leg only, from its `queued` or `resumed` to its `waiting`, or to the end of the run. Answers are
 *    not in it; `view.inputs` has them. The stream waits for a leg that has not begun yet; if the run ends before it
 *    begins, `ended` is the only change.
 *  Frames with an `open` of their own use `view.legChanges(leg)` there. A response that does not stream reads the same
 *  from `readRun` (gateway/run-reads.ts) with `legChanges`, `legStart` and `isLegOver`, and waits for a leg with
 *  `RunWaits.wait({ endsAtWait: true, … })`. */
export type Extent = 'run' | 'wait' | number;

/** Ends behind the frames of `ended`, or where its extent does. Breaks where the wire cannot express a change, where
 *  records are lost, and where the chat or the connection ends before (`reset`, `reconnect`, `expired`). */
export function projectRun(seed: Seed, frames: RunFrames, replay: Replay, extent: Extent = 'run'): Projection {
  return new RunProjection(seed, frames, replay, extent);
}

class RunProjection implements Projection {
  readonly #fold: ReaderFold;
  readonly #frames: RunFrames;
  readonly #replay: Replay;
  readonly #after: number;
  /** With `events`: frames of the catch-up. */
  #unsent = '';
  #isBroken = false;
  readonly #extent: Extent;
  /** The changes so far have not come to the extent, are inside of it, or have passed it. */
  #reached: 'before' | 'inside' | 'behind';
  over: Projection['over'];

  constructor({ runId, after = -1 }: Seed, frames: RunFrames, replay: Replay, extent: Extent) {
    this.#extent = extent;
    this.#reached = typeof extent === 'number' && extent > 0 ? 'before' : 'inside';
    this.#fold = new ReaderFold(runId);
    this.#frames = frames;
    this.#replay = replay;
    this.#after = after;
    if (replay === 'events') this.#view.show();
  }

  get #view(): RunView {
    return this.#fold.view;
  }

  folds(): Iterable<ReaderFold> {
    return [this.#fold];
  }

  get isComplete(): boolean {
    const extent = this.#extent;
    return this.#isBroken || (typeof extent === 'number' ? this.#view.isLegOver(extent) : this.#view.hasEnded);
  }

  fold(events: readonly ParsedEvent[]): void {
    if (this.#replay === 'events') {
      this.#unsent += this.#tellAll(events);
      return;
    }
    for (const { event, offset } of events) this.#fold.apply(event, offset);
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
    const view = this.#view;
    if (this.#frames.open === undefined) {
      const { offset } = view;
      if (typeof this.#extent === 'number') return this.#tell(this.#within(view.legChanges(this.#extent)), offset);
      const text = this.#tell(view.changes(), offset);
      this.#passWait();
      return text;
    }
    const text = this.#frames.open(view);
    if (text === undefined) this.#isBroken = true;
    this.#passOpened();
    return text ?? '';
  }

  /** Those of the changes that are in the extent. Notes where the reader is then. */
  #within(changes: readonly Change[]): readonly Change[] {
    if (this.#extent === 'run') return changes;
    const within: Change[] = [];
    for (const change of changes) {
      if (change.type === 'resumed' && change.leg === this.#extent) this.#reached = 'inside';
      if (this.#reached === 'inside' || (this.#reached === 'before' && change.type === 'ended')) within.push(change);
      if (change.type === 'ended' || (this.#reached === 'inside' && this.#endsAt(change))) this.#reached = 'behind';
    }
    return within;
  }

  #endsAt(change: Change): boolean {
    return change.type === 'waiting' && (this.#extent === 'wait' || this.#extent === change.leg);
  }

  /** The reader has everything that the fold holds. */
  #passWait(): void {
    if (this.#extent === 'wait' && this.#view.state === 'waiting') this.#reached = 'behind';
  }

  #passOpened(): void {
    this.#passWait();
    if (typeof this.#extent !== 'number') return;
    if (this.#view.isLegOver(this.#extent)) this.#reached = 'behind';
    else if (this.#view.leg === this.#extent) this.#reached = 'inside';
  }

  #tellAll(events: readonly ParsedEvent[]): string {
    let text = '';
    for (const { event, offset } of events) {
      const changes = this.#within(this.#fold.apply(event, offset));
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
    else if (this.#view.hasEnded || this.#reached === 'behind' || this.#frames.isOver === true) this.over ??= 'end';
    return text;
  }
}
