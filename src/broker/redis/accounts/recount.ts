// Counts again what the accounts hold in a partition: at a node's start if nothing was counted there yet, and in the
// sweep from time to time, because a node of an earlier version may have written without counting.
import type { AccountOf } from '../../accounts.ts';
import { isBrokerError } from '../../errors.ts';
import { parseLiteTopicName } from '../../lite-topic.ts';
import type { RedisCommands } from '../connection/redis-commands.ts';
import { wrongReply } from '../connection/redis-errors.ts';
import { RECOUNT } from './count-scripts.ts';

/** The time from the end of a recount to the next one. */
export const RECOUNT_MS = 60 * 60 * 1000;
/** The most topics of one slice. */
const SLICE_TOPICS = 100;

/** Counts the topics of a store that an earlier version wrote. A partition whose server is away is counted later. */
export async function countFirst(commands: RedisCommands, accountOf: AccountOf): Promise<void> {
  const partitions = Array.from({ length: commands.keys.partitions }, (_, partition) => partition);
  const counts = await Promise.allSettled(
    partitions.map((partition) => recountPartition(commands, accountOf, partition)),
  );
  for (const count of counts)
    if (count.status === 'rejected' && !isBrokerError(count.reason, 'unavailable')) throw count.reason;
}

export interface Recount {
  /** Since the last one. Undefined: only if there was none. */
  readonly afterMs?: number;
  readonly slicesMax?: number;
}

/** Ends when no recount is under way in the partition, or after so many slices. A full server counts later. */
export async function recountPartition(
  commands: RedisCommands,
  accountOf: AccountOf,
  partition: number,
  options: Recount = {},
): Promise<void> {
  try {
    await recount(commands, accountOf, partition, options);
  } catch (error) {
    if (!isBrokerError(error, 'disk-full')) throw error;
  }
}

async function recount(
  commands: RedisCommands,
  accountOf: AccountOf,
  partition: number,
  { afterMs, slicesMax = Infinity }: Recount,
): Promise<void> {
  let uncounted: readonly string[] = [];
  let isUnderWay = true;
  for (let slice = 0; (isUnderWay && slice < slicesMax) || uncounted.length > 0; slice += 1) {
    const reply = await commands.run(RECOUNT, partition, [SLICE_TOPICS, afterMs ?? '-', ...uncounted]);
    if (!Array.isArray(reply)) throw wrongReply(RECOUNT.name);
    const [state, ...others] = reply.map(String);
    isUnderWay = state === '1';
    uncounted = others.flatMap((name) => {
      const account = accountOf(parseLiteTopicName(name));
      return account === undefined ? [] : [name, account];
    });
  }
}
