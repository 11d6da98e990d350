// The sweep over the partitions, with commands that the test answers.
import { expect, it, onTestFinished } from 'vitest';
import { BrokerError } from '../../../src/broker/errors.ts';
import type { RedisCommands } from '../../../src/broker/redis/connection/redis-commands.ts';
import { RedisKeys } from '../../../src/broker/redis/keys.ts';
import { PartitionSweep, SWEEP_MS } from '../../../src/broker/redis/partition-sweep.ts';
import { ManualClock } from '../../support/manual-clock.ts';

it('sweeps and counts the other partitions while the server of one is away', async () => {
  const clock = new ManualClock();
  const swept: number[] = [];
  const counted: number[] = [];
  const commands: RedisCommands = {
    keys: new RedisKeys('sweep', 4),
    clock,
    run: (_, partition) => {
      swept.push(partition);
      return partition === 1 ? Promise.reject(new BrokerError('unavailable', 'away')) : Promise.resolve(0);
    },
    subscribe: () => ({ close: () => undefined }),
  };
  const sweep = new PartitionSweep({
    commands,
    isKept: false,
    onRound: () => undefined,
    checkClock: () => Promise.resolve(),
    recount: (partition) => Promise.resolve(void counted.push(partition)),
    onError: (error) => {
      throw error;
    },
  });
  onTestFinished(() => sweep.close());
  await clock.advance(2 * SWEEP_MS);
  expect(swept.slice(0, 4)).toEqual([0, 1, 2, 3]);
  expect(counted.slice(0, 3)).toEqual([0, 2, 3]);
});
