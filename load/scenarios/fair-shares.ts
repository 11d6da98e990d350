// How fair an outcome is, between tenants that want more than there is: the fair share of each by max-min, and Jain's
// index of what each received of its share. Pure.

export interface Outcome {
  /** Tokens that the tenant asked for. */
  readonly wanted: number;
  /** Tokens that it received. */
  readonly served: number;
}

/** Jain's index: 1 if all shares are equal, 1/n if one of n has everything. 1 without any share. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((all, one) => all + one, 0);
  const squares = shares.reduce((all, one) => all + one * one, 0);
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}

/** The level up to which each tenant is filled when `total` is shared by max-min: nobody receives more than it wanted,
 *  and nobody receives less than another unless it wanted less. */
export function fairLevel(wanted: readonly number[], total: number): number {
  const rising = [...wanted].sort((a, b) => a - b);
  let left = total;
  for (const [i, one] of rising.entries()) {
    const level = left / (rising.length - i);
    if (one >= level) return level;
    left -= one;
  }
  return rising.at(-1) ?? 0;
}

/** Jain's index of what each tenant received of its fair share. `slack`: a distance from the fair share that no order
 *  can avoid, because answers are served whole; within it the tenant counts as served fairly, and beyond it only the
 *  rest counts. */
export function fairness(outcomes: readonly Outcome[], slack: number): number {
  const total = outcomes.reduce((sum, { served }) => sum + served, 0);
  const level = fairLevel(
    outcomes.map(({ wanted }) => wanted),
    total,
  );
  const shares = outcomes.flatMap(({ wanted, served }) => {
    const fair = Math.min(wanted, level);
    if (fair === 0) return [];
    const off = served - fair;
    return [(fair + Math.sign(off) * Math.max(0, Math.abs(off) - slack)) / fair];
  });
  return jain(shares);
}
