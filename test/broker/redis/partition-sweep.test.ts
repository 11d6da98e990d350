// The sweep over the partitions, with commands that the test answers.
import { describe, expect, it, onTestFinished } from 'vitest';
import { BrokerError, type BrokerErrorCode } from '../../../src/broker/errors.ts';
import type { RedisCommands } from '../../../src/broker/redis/connection/redis-commands.ts';
import { RedisKeys } from '../../../src/broker/redis/keys.ts';
import { PartitionSweep, SWEEP_MS } from '../../../src/broker/redis/partition-sweep.ts';
import { ManualClock } from '../../support/manual-clock.ts';

/** A sweep of four partitions, of which some fail. */
function start(failures: Readonly<Record<number, BrokerErrorCode>>) {
  const clock = new ManualClock();
  const swept: number[] = [];
  const counted: number[] = [];
  const errors: unknown[] = [];
  const commands: RedisCommands = {
    keys: new RedisKeys('sweep', 4),
    clock,
    run: (_, partition) => {
      swept.push(partition);
      const code = failures[partition];
      return code === undefined ? Promise.resolve(0) : Promise.reject(new BrokerError(code, 'no'));
    },
    subscribe: () => ({ close: () => undefined }),
  };
  const sweep = new PartitionSweep({
    commands,
    isKept: false,
    onRound: () => undefined,
    checkClock: () => Promise.resolve(),
    recount: (partition) => Promise.resolve(void counted.push(partition)),
    onError: (error) => void errors.push(error),
  });
  onTestFinished(() => sweep.close());
  /** Until the first round has ended, and before the second one. */
  const round = async (): Promise<void> => {
    while (swept.length === 0) await clock.advance(SWEEP_MS / 10);
  };
  return { swept, counted, errors, round };
}

describe('a sweep', () => {
  it('sweeps and counts the other partitions while the server of one is away', async () => {
    const { swept, counted, errors, round } = start({ 1: 'unavailable' });
    await round();
    expect([swept, counted, errors]).toEqual([[0, 1, 2, 3], [0, 2, 3], []]);
  });

  it('reports one fault in a round', async () => {
    const { swept, errors, round } = start({ 0: 'unavailable', 1: 'corrupt', 2: 'failed' });
    await round();
    expect(swept).toEqual([0, 1, 2, 3]);
    expect(errors).toEqual([expect.objectContaining({ code: 'corrupt' })]);
  });
});
