// What scripts say of a topic in one line (`hl_info` in topic-lua.ts), in the broker's words.
import type { TopicInfo } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { wrongReply } from '../connection/redis-errors.ts';

/** Undefined for '': there is no such topic. @throws BrokerError corrupt */
export function decodeInfo(topic: LiteTopicName, line: unknown): TopicInfo | undefined {
  if (line === '') return undefined;
  const [epoch, next, lastMajor, fence, bytes, ttl, expires] = typeof line === 'string' ? line.split(' ') : [];
  if (epoch === undefined || expires === undefined) throw wrongReply('describe');
  const info = {
    topic,
    epoch,
    earliest: 0,
    next: Number(next),
    lastMajor: Number(lastMajor),
    fence: Number(fence),
    bytes: Number(bytes),
  };
  return expires === '-' ? info : { ...info, ttlMs: Number(ttl), expiresAt: Number(expires) };
}
