// The ids of the events of a stream. The client sends the last one that it has when it comes back. Pure.
import { encodePosition, parsePosition, type Position } from '../../broker/position.ts';

/** The position behind which a reader comes back. `base`: the offset at which its first connection had begun. A reader
 *  that came later was not sent what a restart had dropped before, and has to be sent it when it is said again. */
export interface EventId {
  readonly position: Position;
  readonly base: number;
}

export function encodeEventId({ position, base }: EventId): string {
  return `${encodePosition(position)}.${base}`;
}

export function parseEventId(text: string): EventId | undefined {
  const [, front = '', base = ''] = /^(.{1,100})\.(\d{1,15})$/.exec(text) ?? [];
  const position = parsePosition(front);
  return position === undefined || Number(base) > position.offset ? undefined : { position, base: Number(base) };
}
