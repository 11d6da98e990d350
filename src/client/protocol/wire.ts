// What the two wires, SSE and WebSocket, have in common for one chat: an attempt is opened at a position,
// reports what it hears, and ends exactly once with a word on what to do next. How long to wait and when to
// give up is not theirs but `chat-connection.ts`'s.
import type { WakeReason } from '../environment.ts';
import type { WireFrame } from './wire-events.ts';

export type WireName = 'sse' | 'websocket';

/** Why a chat's connection is closed for good. `closed`: here, by `close()`. `refused`: the server called the
 *  client's request wrong. The others are the server's words. */
export type ClosedReason = 'closed' | 'not-found' | 'forbidden' | 'unauthorized' | 'expired' | 'removed' | 'refused';

/** How an attempt ended. */
export type WireEnd =
  /** The network's doing: try again with our own back-off. */
  | { readonly kind: 'lost'; readonly detail: string }
  /** We gave it up because the device came back and it looked dead: try again at once. */
  | { readonly kind: 'stale' }
  /** The server asked for patience: not before `afterMs`. */
  | { readonly kind: 'later'; readonly afterMs: number }
  /** The token that was used is not taken (any more). */
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'final'; readonly reason: ClosedReason; readonly detail: string };

export interface WireRequest {
  readonly sessionId: string;
  /** The last position held; undefined: from the beginning. */
  readonly after: string | undefined;
  readonly token: string;
}

export interface WireSink {
  /** The server took the subscription: frames follow. */
  opened(): void;
  frame(frame: WireFrame): void;
  /** The server wants its clients to wait about this long before they come back. */
  retryHint(retryMs: number): void;
  /** Once, and nothing after it. Not called when the attempt was closed from here. */
  ended(end: WireEnd): void;
}

export interface WireAttempt {
  /** Ends it without a report. Idempotent. */
  close(): void;
  /** The device came back: prove that this connection is alive, soon, or end as `stale`. */
  wake(reason: WakeReason): void;
}

export interface Wire {
  readonly name: WireName;
  open(request: WireRequest, sink: WireSink): WireAttempt;
}
