// What one connection of either wire has carried, event by event, in order. A test can wait for an event, and cut the
// connection exactly behind one. The readers of both wires write into it.

/** Durable events have an id, control events none. [PROTOCOL §4] */
export interface SeenEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface RecordOptions {
  /** Called with each event. True: this was the last one, and the reader leaves. */
  readonly cutAfter?: (event: SeenEvent) => boolean;
}

export class WireRecord {
  readonly events: SeenEvent[] = [];
  /** How the connection ended: `cut` by the reader, or the reason that the wire gives. Never rejects. */
  readonly ended: Promise<string>;
  readonly #cutAfter: ((event: SeenEvent) => boolean) | undefined;
  readonly #disconnect: () => void;
  readonly #waiting = new Set<() => void>();
  #end: string | undefined;
  #onEnd: (reason: string) => void = () => undefined;

  /** `disconnect` drops the connection at once; bytes that still come from it are not recorded. */
  constructor({ cutAfter }: RecordOptions, disconnect: () => void) {
    this.#cutAfter = cutAfter;
    this.#disconnect = disconnect;
    this.ended = new Promise((resolve) => (this.#onEnd = resolve));
  }

  get isEnded(): boolean {
    return this.#end !== undefined;
  }

  /** The position to resume from; undefined before the first durable event. */
  get position(): string | undefined {
    return this.events.findLast(({ id }) => id !== undefined)?.id;
  }

  add(event: SeenEvent): void {
    if (this.isEnded) return;
    this.events.push(event);
    if (this.#cutAfter?.(event) === true) this.cut();
    this.#tell();
  }

  end(reason: string): void {
    if (this.isEnded) return;
    this.#end = reason;
    this.#onEnd(reason);
    this.#tell();
  }

  cut(): void {
    this.end('cut');
    this.#disconnect();
  }

  /** The first event that fulfils the condition, earlier ones included. @throws when the connection ends without it */
  async until(condition: (event: SeenEvent) => boolean): Promise<SeenEvent> {
    for (let next = 0; ;) {
      for (; next < this.events.length; next += 1) {
        const event = this.events[next];
        if (event !== undefined && condition(event)) return event;
      }
      if (this.#end !== undefined)
        throw new Error(
          `ended (${this.#end}) after ${this.events.length} events: ${JSON.stringify(this.events.slice(-2))}`,
        );
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
