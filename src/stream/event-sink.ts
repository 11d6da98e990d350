// The narrow interface between delivery and a connection. A subscription writes and looks at the pressure; the
// gateway implements it over an HTTP response or a WebSocket.

/** Encoded for one wire. Text, or bytes where several viewers share them. */
export type Frame = string | Buffer;

/** Why a stream ends. The wire says it in its own words. */
export type StreamEnd = 'idle' | 'removed' | 'reset' | 'failed';

export interface EventSink {
  /** Never waits and never fails: a broken connection aborts its subscription by its own signal. */
  write(frame: Frame): void;
  /** Bytes accepted and not yet with the kernel. */
  readonly bufferedBytes: number;
  /** Calls back once, when everything accepted so far is with the kernel. Not at once, even if it is already. */
  onceDrained(callback: () => void): void;
  /** Nothing follows. */
  end(reason: StreamEnd): void;
}
