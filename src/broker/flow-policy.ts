// What a flow of a consumer group (`FlowOf` in broker.ts) may have: the policies that an engine's schedule applies, and
// what they mean for a topic that waits.

/** The smallest and the largest weight of a flow. */
export const WEIGHT_MIN = 0.01;
export const WEIGHT_MAX = 1000;
/** Deliveries of a flow at once. */
export const CONCURRENT_MAX = 1_000_000;
/** Per second, and at once after a pause: deliveries or model tokens. */
export const RATE_MIN = 0.001;
export const RATE_MAX = 1_000_000_000;
export const BURST_MAX = 1_000_000_000_000;

/** Names of paused work. */
export const PAUSED_MAX = 256;

/** A bucket: it holds `burst`, begins full, and `perSecond` flows in. */
export interface Rate {
  /** RATE_MIN to RATE_MAX. */
  readonly perSecond: number;
  /** 1 to BURST_MAX. */
  readonly burst: number;
}

/** What a flow may have of a group. Nothing is refused: what is above a limit waits. */
export interface FlowPolicy {
  /** Beside the flows of the same level that wait, a flow of weight 2 gets twice the tokens of a flow of weight 1.
   *  WEIGHT_MIN to WEIGHT_MAX. Default: 1. */
  readonly weight?: number;
  /** Deliveries that consumers hold at once: 1 to CONCURRENT_MAX. Default: no limit. */
  readonly concurrent?: number;
  /** Deliveries. Default: no limit. */
  readonly deliveryRate?: Rate;
  /** Model tokens, counted from the delivery on: first the guess of the schedule, then what `charge` reported. A
   *  delivery needs one token in the bucket, and may take it below zero. Default: no limit. */
  readonly tokenRate?: Rate;
  /** Only in the policy of a group (an empty path): the names by which a list of paused work (`Paused`) names it. */
  readonly pausedAs?: PausedAs;
  /** The limits hold over all groups that give the flow the same pool. Default: for each group alone. */
  readonly pool?: string;
}

export interface PausedAs {
  readonly group: string;
  /** What precedes the path in the name of each flow. Default: its flows cannot be paused. */
  readonly flows?: string;
}

/** Groups and flows that nothing is delivered of, by their names (`PausedAs`). */
export interface Paused {
  /** At most PAUSED_MAX. */
  readonly names: readonly string[];
  /** A list replaces each list of a lower version, on all nodes. */
  readonly version: number;
}

/** The policy of a flow or of a part of its path in a group: of the group (an empty path), `tenant`, `tenant/user`.
 *  Must give the same answer as long as the process runs. */
export type FlowPolicyOf = (flow: string, group: string) => FlowPolicy;

export function hasLimits({ concurrent, deliveryRate, tokenRate }: FlowPolicy): boolean {
  return concurrent !== undefined || deliveryRate !== undefined || tokenRate !== undefined;
}

/** The deliveries of a group. */
export interface Service {
  /** Under way now. */
  readonly held: number;
  /** Moving mean of how long one takes. Undefined before any has ended. */
  readonly meanMs: number | undefined;
}

/** The limits of a flow around the topic, or of the topic's own flow. */
export interface FlowLimit {
  /** Topics of the flow that are ahead. */
  readonly ahead: number;
  readonly held: number;
  readonly concurrent: number;
  /** Until its buckets allow the next delivery, and between two deliveries from then on. */
  readonly opensInMs: number;
  readonly everyMs: number;
}

/** How many topics are ahead of a topic that waits, and in how many ms it is delivered, where that is known. */
export interface QueuePlace {
  readonly ahead: number;
  readonly waitMs?: number;
}

/** Never negative; undefined where nothing is known: no delivery has ended yet, or none is under way. */
export function waitMsOf(ahead: number, { held, meanMs }: Service, limits: readonly FlowLimit[]): number | undefined {
  if (meanMs === undefined || held === 0) return undefined;
  let waitMs = ((ahead + 1) * meanMs) / held;
  for (const limit of limits) {
    const ends = limit.held + limit.ahead + 1 - limit.concurrent;
    if (ends > 0) waitMs = Math.max(waitMs, (ends * meanMs) / limit.concurrent);
    waitMs = Math.max(waitMs, limit.opensInMs + limit.ahead * limit.everyMs);
  }
  return Math.max(0, waitMs);
}

export function placeOf(ahead: number, waitMs: number | undefined): QueuePlace {
  return waitMs === undefined ? { ahead } : { ahead, waitMs };
}
