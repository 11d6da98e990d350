// Positions as a client may use them: `<epoch>.<offset>`, opaque except that offsets order events inside one
// epoch [PROTOCOL §1]. Owns the only place in the SDK that looks inside one, to drop what was seen already.

export type PositionOrder = 'newer' | 'seen' | 'other-epoch';

/**
 * How an event's position stands to the last one held. A client that holds none takes any. Text that is not a
 * position never equals an epoch that is held, so it ends as `other-epoch` and the chat starts over.
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
