// The contract of a wire: how one protocol shows a chat to its readers. This file declares what delivery and
// connections need of a wire; the wires are in `src/wires`. All of them are pure: no I/O, no clock.
import type { QueuePosition } from '../session/events/queue-position.ts';
import type { Position } from '../broker/position.ts';
import type { ResetReason } from '../broker/broker.ts';
import type { ChatEvent } from '../session/events/chat-event.ts';
import type { Frame } from './event-sink.ts';
import type { ReaderFold } from './run/reader-fold.ts';
import type { LostRecords } from './run/run-change.ts';
import type { WireEvent } from './events/wire-event.ts';

/** An event without a position. [PROTOCOL §4] */
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
  /** `expiresAt`: ms since 1970. */
  | { readonly type: 'expiring'; readonly expiresAt: number }
  | ({ readonly type: 'queue'; readonly runId: string } & QueuePosition);

export const WIRES = [
  'a2a',
  'ag-ui',
  'ai-sdk',
  'ai-sdk-ws',
  'durable-streams',
  'langgraph',
  'mcp',
  'openai-agents',
  'openai-chat',
  'openai-responses',
  'sse',
  'text',
  'ws',
] as const;

export type WireName = (typeof WIRES)[number];

/** A counter for each wire. */
export function countByWire(): Record<WireName, number> {
  return Object.fromEntries(WIRES.map((wire) => [wire, 0])) as Record<WireName, number>;
}

/** `chunked`: the reader can tell a broken response from an ended one. `until-close`: the body ends with the
 *  connection. `socket`: the connection carries more than this stream and frames its messages itself. */
export type Framing = 'chunked' | 'until-close' | 'socket';

interface WireBase {
  /** The label in metrics. */
  readonly name: WireName;
  readonly framing: Framing;
  /** Response headers. Empty where a socket carries the wire. */
  readonly headers: Readonly<Record<string, string>>;
  /** The heartbeat of a silent stream, so that proxies keep it open. '' where the protocol has none. */
  readonly beat: string;
  /** The first bytes of a stream. `retryMs`: how long a client waits before it reconnects. */
  begin(retryMs: number): string;
}

/** A wire that sends events as they are stored, with the same bytes for every reader: the live topic encodes each
 *  batch once. */
export interface SharedWire extends WireBase {
  readonly shared: WireEncoder;
}

/** A wire that folds a run and sends what its protocol can express of it. `Request`: what the frames repeat of the
 *  reader's request, for example ids that the client chose. */
export interface ProjectedWire<Request = void> extends WireBase {
  readonly shared?: undefined;
  /** One projection for each reader. Wires other than `text` return `projectRun(seed, frames, replay)`. */
  project(seed: Seed, request: Request): Projection;
}

export type Wire = SharedWire | ProjectedWire<never>;

/** Encodes the events of a stream. The stream does not send empty frames. */
export interface WireEncoder {
  /** Encoders with the same key return the same bytes for a topic. Undefined: the encoder belongs to one reader. */
  readonly key: string | undefined;
  encodeEvents(epoch: string, events: readonly WireEvent[]): Frame;
  encodeControl(event: ControlEvent): Frame;
  /** Set once the stream is over by the rules of the wire; nothing may be written after that. A field of every encoder,
   *  because the stream reads it after each frame (hot: ADR 7 §5). */
  readonly over: Projection['over'];
  /** The reader is live and has everything before `from`, the first offset of the next batch of its live topic. Until
   *  it leaves, `encodeEvents` is called with whole batches. Only encoders that fold have it. */
  joinLive?(readers: LiveReaders, from: number): void;
  /** The reader is not live any more. `isOver`: nothing is encoded any more. */
  leaveLive?(isOver: boolean): void;
}

/** The live readers of one topic that fold runs: `Lockstep`. */
export interface LiveReaders {
  /** `from`: the first offset that the reader lacks. Its projection is open. */
  join(projection: Projection, from: number): InStep;
}

/** One of them. */
export interface InStep {
  /** What the reader is sent of a batch. The first reader that takes a batch has it given to all. */
  take(events: readonly WireEvent[]): string;
  /** The reader was given events, and has not taken their text. */
  readonly isAhead: boolean;
  /** `isOver`: the reader is given nothing any more. Else it is given the next events elsewhere. */
  leave(isOver: boolean): void;
}

/** A public event, parsed once for all projections of a live topic. */
export interface ParsedEvent {
  readonly offset: number;
  readonly event: ChatEvent | LostRecords;
}

export interface Seed {
  readonly runId: string;
  /** An offset: the reader holds everything up to this offset. Undefined: it holds nothing. */
  readonly after: number | undefined;
}

/** What one reader receives of one run. The projection is given the events from the run's `run.queued` on, in order:
 *  `fold` takes the events of catch-up and sends nothing, `open` comes once, `next` takes the live events. Where the
 *  run ends during catch-up, `open` comes then, so the reader of an old answer does not wait for the rest of the chat.
 *  `open` sends the folded state and not the events, so a reader never receives text that a restart had dropped
 *  before the reader came. */
export interface Projection {
  fold(events: readonly ParsedEvent[]): void;
  /** No later event changes what the reader receives. */
  readonly isComplete: boolean;
  /** The part of the folded state that the reader lacks. Called once, before the first `next`. Sets `over` if the
   *  projection is complete. */
  open(): string;
  /** '' sends nothing. Adjacent deltas may be merged, but never across `Seed.after`. */
  next(events: readonly ParsedEvent[]): string;
  /** The folds that it may share with other live readers. It reads their views, and keeps none. */
  folds(): Iterable<ReaderFold>;
  control(event: ControlEvent): string;
  /** `end`: the stream is complete. `break`: this wire cannot express what follows, so the gateway cuts the
   *  connection. */
  readonly over: undefined | 'end' | 'break';
}
