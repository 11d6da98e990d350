// Finds the known name that a mistyped name resembles most. Pure.

/** The share of the longer name that may differ in a mistyped name. */
const DIFFERENCE_MAX = 0.4;
/** Longer names are not compared. */
export const NAME_CHARS_MAX = 64;

/** Undefined where `given` resembles none of the names. `compared` returns the part of a name that counts. */
export function nearestName<Name extends string>(
  given: string,
  names: readonly Name[],
  compared: (name: Name) => string = (name) => name,
): Name | undefined {
  if (given.length > NAME_CHARS_MAX) return undefined;
  let nearest: Name | undefined;
  let least = Infinity;
  for (const name of names) {
    const wanted = compared(name);
    const difference = edits(given, wanted) / Math.max(given.length, wanted.length);
    if (difference < least && difference <= DIFFERENCE_MAX) [nearest, least] = [name, difference];
  }
  return nearest;
}

/** Insertions, deletions, substitutions and swaps of neighbours: the optimal string alignment distance. */
export function edits(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(at(last, j) + 1, at(row, j - 1) + 1, change, isSwap ? at(before, j - 2) + 1 : Infinity));
    }
    [before, last] = [last, row];
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
