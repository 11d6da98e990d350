// The WebSocket frames of the protocol [PROTOCOL §6]: frames that the client sends, frames that it reads, and the
// meaning of a close code or a refused subscription. Pure; `shared-socket.ts` owns the socket.
import { isFields, parseWireError } from './wire-codec.ts';
import type { WireError, WireFrame } from './wire-events.ts';
import type { WireEnd } from './wire.ts';

/** Only the frames that this client sends. Commands go over HTTP, where the client can repeat a call whose answer
 *  was lost. */
export type ClientFrame =
  | { readonly type: 'auth'; readonly token: string }
  | { readonly type: 'subscribe'; readonly sessionId: string; readonly after: string }
  | { readonly type: 'unsubscribe'; readonly sessionId: string }
  | { readonly type: 'ping' };

export type ServerFrame =
  | { readonly type: 'subscribed'; readonly sessionId: string }
  /** Without a session it concerns the whole socket. */
  | { readonly type: 'events'; readonly sessionId: string | undefined; readonly frames: readonly WireFrame[] }
  | { readonly type: 'error'; readonly sessionId: string | undefined; readonly end: WireEnd }
  /** `pong`, and frames of later versions: they only prove that the socket is alive. */
  | { readonly type: 'other' };

/** Undefined if the text is not a frame of this protocol. */
export function parseServerFrame(text: string): ServerFrame | undefined {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isFields(frame)) return undefined;
  const sessionId = typeof frame['sessionId'] === 'string' ? frame['sessionId'] : undefined;
  switch (frame['type']) {
    case 'subscribed':
      return sessionId === undefined ? undefined : { type: 'subscribed', sessionId };
    case 'event':
      return { type: 'events', sessionId, frames: parseEvents([frame]) };
    case 'events':
      return { type: 'events', sessionId, frames: parseEvents(frame['events']) };
    case 'error':
      return { type: 'error', sessionId, end: wireEndOfError(parseWireError(frame, 'error'), frame['retryAfterMs']) };
    default:
      return { type: 'other' };
  }
}

/** The meaning of the socket's end for every chat on it. */
export function wireEndOfClose(code: number, reason: string): WireEnd {
  switch (code) {
    case 4400:
      return { kind: 'final', reason: 'refused', detail: reason };
    case 4403:
      return { kind: 'final', reason: 'forbidden', detail: reason };
    case 4401:
      return { kind: 'unauthorized' };
    case 4429:
    case 4503: {
      const afterMs = parseAfterMs(reason);
      return afterMs === undefined ? { kind: 'lost', detail: reason } : { kind: 'later', afterMs };
    }
    default:
      return { kind: 'lost', detail: `the socket closed with ${code}` };
  }
}

/** The meaning of an `error` frame about one subscription for its chat. */
function wireEndOfError(error: WireError, retryAfterMs: unknown): WireEnd {
  if (typeof retryAfterMs === 'number') return { kind: 'later', afterMs: retryAfterMs };
  if (error.retryable) return { kind: 'lost', detail: error.message };
  if (REFUSED_TOKEN.has(error.code)) return { kind: 'unauthorized' };
  if (error.code.endsWith('not-found')) return { kind: 'final', reason: 'not-found', detail: error.message };
  if (error.code === 'forbidden') return { kind: 'final', reason: 'forbidden', detail: error.message };
  if (error.code.startsWith('invalid')) return { kind: 'final', reason: 'refused', detail: error.message };
  // An unknown code: to retry with growing waits is harmless at worst, and to give up would lose the chat.
  return { kind: 'lost', detail: `${error.code}: ${error.message}` };
}

const REFUSED_TOKEN: ReadonlySet<string> = new Set(['unauthorized', 'unauthenticated', 'token-expired', 'expired']);

function parseEvents(events: unknown): readonly WireFrame[] {
  if (!Array.isArray(events)) return [];
  return events.flatMap((item: unknown) => {
    if (!isFields(item) || typeof item['event'] !== 'string') return [];
    const { id, event, data } = item;
    return [{ ...(typeof id === 'string' ? { id } : {}), event, data }];
  });
}

/** The number after `afterMs`, whether the reason is JSON or `afterMs=…`. */
function parseAfterMs(reason: string): number | undefined {
  const digits = /afterMs\D{0,4}(\d{1,9})/.exec(reason)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
