// Takes the replies of scripts apart.
import type { RedisReply } from './redis-commands.ts';
import { wrongReply } from './redis-errors.ts';

export function listOf(reply: RedisReply | undefined): readonly RedisReply[] {
  if (!Array.isArray(reply)) throw wrongReply('queue');
  return reply as readonly RedisReply[];
}

export function numberOf(reply: RedisReply | undefined): number {
  if (typeof reply !== 'number') throw wrongReply('queue');
  return reply;
}
