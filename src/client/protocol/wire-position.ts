// Compares positions, `<epoch>.<offset>`: opaque, except that offsets order the events of one epoch [PROTOCOL §1]. The
// only file of the SDK that reads the inside of a position, to drop events that it has received before.

export type PositionOrder = 'newer' | 'seen' | 'other-epoch';

/**
 * Compares the position of an event with the last one held. A client that holds none takes any. Text that is not a
 * position never has the epoch that is held, so it is `other-epoch` and the chat restarts.
 */
export function orderPosition(held: string | undefined, incoming: string): PositionOrder {
  if (held === undefined) return 'newer';
  if (held === incoming) return 'seen';
  const before = splitPosition(held);
  const after = splitPosition(incoming);
  if (before === undefined || after?.epoch !== before.epoch) return 'other-epoch';
  return after.offset > before.offset ? 'newer' : 'seen';
}

function splitPosition(position: string): { epoch: string; offset: number } | undefined {
  const dot = position.lastIndexOf('.');
  const offset = Number(position.slice(dot + 1));
  if (dot < 1 || !Number.isSafeInteger(offset) || offset < 0) return undefined;
  return { epoch: position.slice(0, dot), offset };
}
