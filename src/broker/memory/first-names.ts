// Finds the first names of a page among all names of a map, which are in no order, in slices of a turn of the event
// loop.
import type { TurnSlice } from '../../base/turn-slice.ts';

export interface NamePage<N> {
  readonly after: N | undefined;
  readonly count: number;
  readonly matches: (name: N) => boolean;
}

/** The first `count` of the matching names behind `after`, in order. A name that comes while this walks may be left
 *  out. */
export async function firstNames<N extends string>(
  names: Iterable<N>,
  { after, count, matches }: NamePage<N>,
  slice: TurnSlice,
): Promise<readonly N[]> {
  let found: N[] = [];
  let last: N | undefined;
  const cut = (): void => {
    found = found.sort().slice(0, count);
    last = found[count - 1];
  };
  for (const name of names) {
    const isBehind = (after === undefined || name > after) && (last === undefined || name < last);
    if (isBehind && matches(name)) found.push(name);
    // As many again: so a name is sorted a few times only.
    if (found.length >= 2 * count) cut();
    if (slice.isOver()) await slice.next();
  }
  cut();
  return found;
}
