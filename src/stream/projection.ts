// The contract of a wire: how one protocol shows a chat to its readers. The wires are in `src/wires`; this file names what
// delivery and connections ask of them. Everything here is pure: no I/O, no clock.
import type { Position } from '../broker/position.ts';
import type { ResetReason } from '../broker/broker.ts';
import type { ChatEvent } from '../session/events/chat-event.ts';
import type { Frame } from './event-sink.ts';
import type { WireEvent } from './wire-event.ts';

/** Control events have no position. PROTOCOL §4. */
export type ControlEvent =
  | { readonly type: 'live'; readonly position: Position | undefined }
  | {
      readonly type: 'reset';
      readonly reason: ResetReason;
      readonly epoch: string;
      readonly earliest: number;
      readonly next: number;
    }
  | { readonly type: 'reconnect'; readonly afterMs: number }
  | { readonly type: 'expired' }
  | { readonly type: 'queue'; readonly runId: string; readonly ahead: number };

export type WireName = 'sse' | 'ws' | 'text';

/** `chunked`: the reader can tell a broken response from an ended one. `until-close`: the body ends with the connection.
 *  `socket`: the connection carries more than this stream and frames its messages itself. */
export type Framing = 'chunked' | 'until-close' | 'socket';

interface WireBase {
  /** In metrics. */
  readonly name: WireName;
  readonly framing: Framing;
  /** Of the response. Empty where a socket carries the wire. */
  readonly headers: Readonly<Record<string, string>>;
  /** What a silent stream sends, so that proxies keep it open; '' where the protocol has nothing for that. */
  readonly beat: string;
  /** The first bytes of a stream. `retryMs`: how long a client is to wait before it reconnects. */
  begin(retryMs: number): string;
}

/** A wire that sends events as they are stored, the same bytes to every reader: the live topic encodes each batch once. */
export interface SharedWire extends WireBase {
  readonly shared: WireEncoder;
}

/** A wire that folds a run and sends what its protocol can show of it. */
export interface ProjectedWire extends WireBase {
  readonly shared?: undefined;
  /** One projection for each reader. */
  project(seed: Seed): Projection;
}

export type Wire = SharedWire | ProjectedWire;

/** How a stream writes events. An empty frame is not sent. */
export interface WireEncoder {
  /** Encoders with the same key give the same bytes for a topic. Undefined: the encoder is one reader's own. */
  readonly key: string | undefined;
  encodeEvents(epoch: string, events: readonly WireEvent[]): Frame;
  encodeControl(event: ControlEvent): Frame;
  /** Set once the wire's own stream is over; nothing is to be written after that. */
  readonly over?: Projection['over'];
}

/** A public event, parsed once for all projections of a live topic. */
export interface ParsedEvent {
  readonly offset: number;
  readonly event: ChatEvent;
}

export interface Seed {
  readonly runId: string;
  /** The reader holds everything up to this offset. Undefined: it holds nothing. */
  readonly after: number | undefined;
}

/** What one reader is shown of one run. It is given every event from the run's `run.queued` on, in order: first, silently,
 *  what was there when the reader came, then `open` once, then everything that follows. So a replay is made from the fold,
 *  and text that a restart has taken back is not sent to a reader that never received it. */
export interface Projection {
  fold(events: readonly ParsedEvent[]): void;
  /** What the reader lacks of what was folded. Called once, before the first `next`. */
  open(): string;
  /** '' sends nothing. Adjacent deltas may be merged, but never across `Seed.after`. */
  next(events: readonly ParsedEvent[]): string;
  control(event: ControlEvent): string;
  /** `end`: the protocol's stream is complete. `break`: what follows cannot be said on this wire, so the connection is cut. */
  readonly over: undefined | 'end' | 'break';
}
