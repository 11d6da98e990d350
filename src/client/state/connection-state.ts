// What a view may say about a chat's connection. `chat-connection.ts` is the only one that decides it.
import type { ClosedReason } from '../protocol/wire.ts';

export type ConnectionState =
  | { readonly state: 'connecting' }
  /** Connected, and reading what was missed. */
  | { readonly state: 'catching-up' }
  | { readonly state: 'live' }
  /** The device says it has no network. Tried again when it does, and now and then anyway. */
  | { readonly state: 'offline'; readonly retryInMs: number }
  | { readonly state: 'waiting'; readonly retryInMs: number }
  /** For good; except that sending to a chat that was not there brings it to life. */
  | { readonly state: 'closed'; readonly reason: ClosedReason; readonly detail: string };
