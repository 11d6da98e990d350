// The connection of a plain text reader: keeps the text and the reason of the end. It can be slow.
import type { EventSink, Frame, StreamEnd } from '../../src/stream/event-sink.ts';

export class TextSink implements EventSink {
  text = '';
  ended: StreamEnd | undefined;
  bufferedBytes = 0;
  isStuck = false;
  #drained: (() => void)[] = [];

  get seen(): { readonly text: string; readonly ended: StreamEnd | undefined } {
    return { text: this.text, ended: this.ended };
  }

  write(frame: Frame): void {
    this.text += frame.toString();
    if (this.isStuck) this.bufferedBytes += frame.length;
  }

  onceDrained(callback: () => void): void {
    if (this.isStuck) this.#drained.push(callback);
    else setImmediate(callback);
  }

  drain(): void {
    this.isStuck = false;
    this.bufferedBytes = 0;
    for (const callback of this.#drained.splice(0)) callback();
  }

  end(reason: StreamEnd): void {
    this.ended = reason;
  }
}
