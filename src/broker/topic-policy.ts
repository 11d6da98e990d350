// The policies of topics by name: which policy is in force for a topic, and what it makes of a requested TTL. Pure. The
// caller that makes a topic applies its policy; the engines know none.
import type { TopicWrite, TtlMode } from './broker.ts';
import type { Quota } from './quota.ts';

export interface TtlPolicy {
  /** Default: `idle`. */
  readonly mode?: TtlMode;
  /** The TTL of a topic for which no other is requested. */
  readonly ms?: number;
  /** A requested TTL is kept between these. */
  readonly min?: number;
  readonly max?: number;
  /** The hard maximum. */
  readonly hardMax?: number;
}

export interface TopicPolicy {
  readonly ttl?: TtlPolicy;
  /** Of each account that has such topics. */
  readonly quota?: Quota;
}

/** By pattern: a beginning of names, and `*` for the rest. */
export type TopicPolicies = ReadonlyMap<string, TopicPolicy>;

/** The policy in force for a topic: that of the longest pattern. */
export type TopicPolicyOf = (topic: string) => TopicPolicy;

const NO_POLICY: TopicPolicy = {};

export function topicPolicies(policies: TopicPolicies): TopicPolicyOf {
  const lengths = [...new Set([...policies.keys()].map((pattern) => pattern.length - 1))].toSorted((a, b) => b - a);
  return (topic) => {
    for (const length of lengths) {
      const policy = policies.get(`${topic.slice(0, length)}*`);
      if (policy !== undefined) return policy;
    }
    return NO_POLICY;
  };
}

/** The TTL of a new topic. `requestedMs`: undefined if none is requested. */
export function ttlOf({ ttl = {} }: TopicPolicy, requestedMs: number | undefined, defaultMs: number): number {
  const { ms = defaultMs, min = 1, max = Infinity } = ttl;
  return Math.min(Math.max(requestedMs ?? ms, min), max);
}

/** What the write that makes a topic says of its life. */
export function lifeOf({ ttl = {} }: TopicPolicy): Pick<TopicWrite, 'ttlMode' | 'hardMaxMs'> {
  const { mode, hardMax } = ttl;
  return {
    ...(mode === undefined ? {} : { ttlMode: mode }),
    ...(hardMax === undefined ? {} : { hardMaxMs: hardMax }),
  };
}
