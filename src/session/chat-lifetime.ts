// How long a new chat lives: the configured time, or what the policy of its topic makes of it.
import type { TopicWrite } from '../broker/broker.ts';
import { lifeOf, ttlOf, type TopicPolicyOf } from '../broker/topic-policy.ts';
import type { SessionRef } from './session-ref.ts';
import { chatTopic } from './topic-names.ts';

export interface ChatLifetime {
  readonly ttlMs: number;
  /** For the write that makes the chat's topic. */
  readonly life: Pick<TopicWrite, 'ttlMode' | 'hardMaxMs'>;
}

/** `requestedMs`: undefined if the client requests no TTL. */
export type ChatLifetimeOf = (ref: SessionRef, requestedMs?: number) => ChatLifetime;

/** `defaultMs`: where neither the client nor a policy names a TTL. */
export function chatLifetimes(defaultMs: number, policyOf?: TopicPolicyOf): ChatLifetimeOf {
  return (ref, requestedMs) => {
    const policy = policyOf?.(chatTopic(ref)) ?? {};
    return { ttlMs: ttlOf(policy, requestedMs, defaultMs), life: lifeOf(policy) };
  };
}
