// How one wire writes events: pure functions, made once per subscription or shared by all viewers of a topic.
// `key` says which encoders give the same bytes, so that a frame is encoded once per wire and node.
import type { Position } from '../broker/position.ts';
import type { ResetReason } from '../broker/broker.ts';
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

export interface WireEncoder {
  readonly key: string;
  encodeEvents(epoch: string, events: readonly WireEvent[]): Frame;
  encodeControl(event: ControlEvent): Frame;
}
