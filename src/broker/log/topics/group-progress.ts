// How far each group is with the records of one topic: the offsets that it has consumed, and how often it was handed
// the record that follows. The appender and the replay change it with the same functions.

export interface Delivered {
  readonly offset: number;
  readonly attempts: number;
  /** ms since 1970, in the engine's time; 0: the record may be delivered at once. */
  readonly notBefore: number;
}

/** Both are undefined while they are empty, because most topics have no group. */
export interface GroupProgress {
  /** Group → the first offset that it has not consumed. */
  consumed: Map<string, number> | undefined;
  /** Group → how often it was handed the record that follows. */
  delivered: Map<string, Delivered> | undefined;
}

export function setConsumed(topic: GroupProgress, group: string, next: number): void {
  topic.consumed ??= new Map();
  topic.consumed.set(group, next);
  if ((topic.delivered?.get(group)?.offset ?? next) < next) topic.delivered?.delete(group);
  if (topic.delivered?.size === 0) topic.delivered = undefined;
}

/** No effect for a record that the group has consumed. */
export function setDelivered(topic: GroupProgress, group: string, delivered: Delivered): void {
  if (delivered.offset < (topic.consumed?.get(group) ?? 0)) return;
  topic.delivered ??= new Map();
  topic.delivered.set(group, delivered);
}
