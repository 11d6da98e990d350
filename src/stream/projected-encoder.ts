// Makes one projection the encoder of its reader's stream: it folds the events of catch-up, opens the projection when
// the reader goes live, or when its run has ended, and then goes in step with the other live readers of the chat.
import { parseEvents } from './parse-events.ts';
import type { ControlEvent, InStep, LiveReaders, Projection, WireEncoder } from './projection.ts';
import type { WireEvent } from './events/wire-event.ts';

export class ProjectedEncoder implements WireEncoder {
  readonly key = undefined;
  readonly #projection: Projection;
  #isOpen = false;
  #inStep: InStep | undefined;
  /** The reader left with frames that were made and not sent. */
  #isCut = false;

  constructor(projection: Projection) {
    this.#projection = projection;
  }

  get over(): Projection['over'] {
    return this.#isCut ? 'break' : this.#projection.over;
  }

  encodeEvents(_epoch: string, events: readonly WireEvent[]): string {
    if (this.#inStep !== undefined) return this.#inStep.take(events);
    if (this.over !== undefined) return '';
    const parsed = parseEvents(events);
    if (this.#isOpen) return this.#projection.next(parsed);
    this.#projection.fold(parsed);
    return this.#projection.isComplete ? this.#open() : '';
  }

  encodeControl(event: ControlEvent): string {
    if (this.over !== undefined) return '';
    if (this.#isOpen || event.type !== 'live') return this.#projection.control(event);
    return this.#open() + this.#projection.control(event);
  }

  joinLive(readers: LiveReaders, from: number): void {
    if (this.#isOpen && this.over === undefined) this.#inStep = readers.join(this.#projection, from);
  }

  leaveLive(isOver: boolean): void {
    const inStep = this.#inStep;
    if (inStep === undefined) return;
    this.#inStep = undefined;
    // The frames know what they told, so they cannot be made again. The reader comes back and resumes.
    if (inStep.isAhead) this.#isCut = true;
    inStep.leave(isOver || this.over !== undefined);
  }

  #open(): string {
    this.#isOpen = true;
    return this.#projection.open();
  }
}
