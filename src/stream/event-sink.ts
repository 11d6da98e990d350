// The narrow interface between delivery and a connection: a subscription writes, and reads how much is still buffered. The
// gateway implements it over an HTTP response or a WebSocket.

/** Encoded for one wire. Text, or bytes where several viewers share them. */
export type Frame = string | Buffer;

/** Why a stream ends; the connection shows it in its own way. `done`: the projection is complete. `broken`: the projection
 *  cannot continue. */
export type StreamEnd = 'idle' | 'done' | 'removed' | 'reset' | 'failed' | 'broken';

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
