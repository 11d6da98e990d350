// The interface between delivery and a connection: a subscription writes frames and reads how many bytes are still
// buffered. The gateway implements it over an HTTP response or a WebSocket.

/** Encoded output of one wire: text, or bytes where several readers share them. */
export type Frame = string | Buffer;

/** The reason why a stream ends; each kind of connection shows it in its own way. `done`: the projection is complete.
 *  `broken`: the projection cannot continue. */
export type StreamEnd = 'idle' | 'done' | 'removed' | 'reset' | 'failed' | 'broken';

export interface EventSink {
  /** Never waits and never throws: a broken connection aborts the signal of its subscription instead. */
  write(frame: Frame): void;
  /** Bytes that the sink accepted and that the kernel does not have yet. */
  readonly bufferedBytes: number;
  /** Calls back once, when the kernel has everything that was accepted so far. Always asynchronous, also when
   *  nothing is buffered. */
  onceDrained(callback: () => void): void;
  /** The subscription writes nothing after this. */
  end(reason: StreamEnd): void;
}
