// What a flow of a consumer group (`FlowOf` in broker.ts) may have: the policies that an engine's schedule applies.

/** The smallest and the largest weight of a flow. */
export const WEIGHT_MIN = 0.01;
export const WEIGHT_MAX = 1000;

/** What a flow may have of a group. */
export interface FlowPolicy {
  /** Beside the flows of the same level that wait, a flow of weight 2 gets twice the tokens of a flow of weight 1.
   *  WEIGHT_MIN to WEIGHT_MAX. Default: 1. */
  readonly weight?: number;
}

/** The policy of a flow or of a part of its path: `tenant` and `tenant/user`. Must give the same answer as long as the
 *  process runs. */
export type FlowPolicyOf = (flow: string) => FlowPolicy;
