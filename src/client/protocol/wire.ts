// What SSE and WebSocket have in common for one chat: an attempt opens at a position, reports the frames it receives,
// and ends exactly once with the reason. `chat-connection.ts` decides how long to wait and when to give up.
import type { WakeReason } from '../environment.ts';
import type { WireFrame } from './wire-events.ts';

export type WireName = 'sse' | 'websocket';

/** Why a chat's connection is closed for good. `closed`: by `close()` of this client. `refused`: the server rejected
 *  the client's request as wrong. The server sends the others. */
export type ClosedReason = 'closed' | 'not-found' | 'forbidden' | 'unauthorized' | 'expired' | 'removed' | 'refused';

/** How an attempt ended. */
export type WireEnd =
  /** The network failed: try again after the client's own back-off. */
  | { readonly kind: 'lost'; readonly detail: string }
  /** The device came back and the connection seemed dead: try again at once. */
  | { readonly kind: 'stale' }
  /** The server asked the client to wait: not before `afterMs`. */
  | { readonly kind: 'later'; readonly afterMs: number }
  /** The server refuses the token. */
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'final'; readonly reason: ClosedReason; readonly detail: string };

export interface WireRequest {
  readonly sessionId: string;
  /** The last position held; undefined: from the beginning. */
  readonly after: string | undefined;
  readonly token: string;
}

export interface WireSink {
  /** The server accepted the subscription: frames follow. */
  opened(): void;
  frame(frame: WireFrame): void;
  /** The server wants its clients to wait about this long before they come back. */
  retryHint(retryMs: number): void;
  /** Called once, and no other call follows. Not called if this client closed the attempt. */
  ended(end: WireEnd): void;
}

export interface WireAttempt {
  /** Ends the attempt without a report. Idempotent. */
  close(): void;
  /** The device came back: the wire proves soon that this connection is alive, or ends as `stale`. */
  wake(reason: WakeReason): void;
}

export interface Wire {
  readonly name: WireName;
  open(request: WireRequest, sink: WireSink): WireAttempt;
}
