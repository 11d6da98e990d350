// The connection of a plain text reader: keeps the text and the reason of the end.
import type { EventSink, Frame, StreamEnd } from '../../src/stream/event-sink.ts';

export class TextSink implements EventSink {
  text = '';
  ended: StreamEnd | undefined;
  readonly bufferedBytes = 0;

  get seen(): { readonly text: string; readonly ended: StreamEnd | undefined } {
    return { text: this.text, ended: this.ended };
  }

  write(frame: Frame): void {
    this.text += frame.toString();
  }

  onceDrained(callback: () => void): void {
    setImmediate(callback);
  }

  end(reason: StreamEnd): void {
    this.ended = reason;
  }
}
