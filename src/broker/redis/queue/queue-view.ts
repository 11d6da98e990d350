// The state of a group's queue in one partition, as scripts encode it (queue-lua.ts): the turn of the first queued
// topic in each priority, and the time at which the next lease or pause ends.
import type { Priority } from '../../broker.ts';

export interface QueueView {
  /** Of two views the one with the later turn is the newer. */
  readonly turn: number;
  /** The server's time when the view was made, ms since 1970. */
  readonly now: number;
  /** The turn of the first topic that waits in each priority. */
  readonly heads: Readonly<Record<Priority, number | undefined>>;
  readonly due: number | undefined;
}

/** Parses `<group> <turn> <now> <high> <normal> <low> <due>`; undefined for a text of another form. */
export function parseView(text: string): { readonly group: string; readonly view: QueueView } | undefined {
  const [group, ...numbers] = text.split(' ');
  const [turn, now, high, normal, low, due] = numbers.map((one) => (one === '-' ? undefined : Number(one)));
  if (group === undefined || turn === undefined || now === undefined || numbers.length !== 6 || numbers.includes(''))
    return undefined;
  if ([turn, now, high, normal, low, due].some(Number.isNaN)) return undefined;
  return { group, view: { turn, now, heads: { high, normal, low }, due } };
}
