// The id of an event of an Agents session: `<epoch>.<offset>.<number>`, the place of its frame in the log. A reader
// that gives the id of the last event that it holds receives exactly the rest.
import { encodePosition, parsePosition } from '../../../broker/position.ts';
import type { FramePlace } from '../item-frames.ts';

export interface EventId extends FramePlace {
  readonly epoch: string;
}

export function encodeEventId({ epoch, offset, number }: EventId): string {
  return `${encodePosition({ epoch, offset })}.${number}`;
}

/** Undefined for a text that is no id of an event. */
export function parseEventId(text: string): EventId | undefined {
  const [, front = '', number = ''] = /^(.{1,100})\.(\d{1,9})$/.exec(text) ?? [];
  const position = parsePosition(front);
  return position && { ...position, number: Number(number) };
}

/** Whether a reader that holds the event of an id was sent the frame at this place. */
export function isHeld(held: FramePlace | undefined, { offset, number }: FramePlace): boolean {
  return held !== undefined && (offset < held.offset || (offset === held.offset && number <= held.number));
}
