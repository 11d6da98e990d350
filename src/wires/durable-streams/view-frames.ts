// How a view of a chat leaves: as the events of a live read, or gathered for one reply. Messages are texts of JSON.
// Pure.
import { encodeOffset } from '../../durable-streams/offset-token.ts';
import type { SharedWire } from '../../stream/projection.ts';

export interface ViewState {
  /** Records of the chat before the position behind these messages. */
  readonly next: number;
  readonly isUpToDate: boolean;
  readonly isClosed: boolean;
}

export interface ViewOutput {
  /** Takes messages, and returns the frames of a live read. */
  put(messages: readonly string[], state: ViewState): string;
  /** Enough for one reply. */
  readonly isFull: boolean;
}

/** The events of a live read. */
export class LiveOutput implements ViewOutput {
  readonly isFull = false;
  readonly #epoch: string;
  readonly #cursor: () => string;

  /** `cursor`: for caches; see `stream-cursor.ts`. */
  constructor(epoch: string, cursor: () => string) {
    this.#epoch = epoch;
    this.#cursor = cursor;
  }

  put(messages: readonly string[], { next, isUpToDate, isClosed }: ViewState): string {
    const control = {
      streamNextOffset: encodeOffset(next, this.#epoch),
      ...(isClosed ? { streamClosed: true } : { streamCursor: this.#cursor() }),
      ...(isUpToDate && { upToDate: true }),
    };
    // JSON has no line breaks.
    const data = messages.length === 0 ? '' : `event: data\ndata:[${messages.join(',')}]\n\n`;
    return `${data}event: control\ndata:${JSON.stringify(control)}\n\n`;
  }
}

/** UTF-16 code units of messages after which a reply is full. The last messages may exceed it. */
export const REPLY_CHARS = 1024 * 1024;

/** The messages of one reply. */
export class ReplyOutput implements ViewOutput {
  readonly messages: string[] = [];
  state: ViewState;
  #chars = 0;

  constructor(next: number) {
    this.state = { next, isUpToDate: false, isClosed: false };
  }

  get isFull(): boolean {
    return this.#chars >= REPLY_CHARS;
  }

  put(messages: readonly string[], state: ViewState): string {
    for (const message of messages) {
      this.messages.push(message);
      this.#chars += message.length;
    }
    this.state = state;
    return '';
  }
}

const BEAT = ': hb\n\n';

/** A body that ends is no end of the stream for these clients: they come back until a control event says that the
 *  stream is closed. The protocol has no word for an expired token or a drain. */
export const viewWire: SharedWire = {
  name: 'durable-streams',
  framing: 'until-close',
  headers: { 'content-type': 'text/event-stream' },
  beat: BEAT,
  begin: () => BEAT,
  shared: { key: undefined, over: undefined, encodeEvents: () => '', encodeControl: () => '' },
};

/** When a read of a view ends. `caught-up`: at the end of what is there. `news`: with the first messages that come.
 *  `never`: with its connection. */
export type ViewEnd = 'caught-up' | 'news' | 'never';
