// Opens the chosen engine: the only file that imports all engines, and only when it opens one, because the library of
// another engine costs a process 30 to 80 ms of CPU. Its callers get a `BrokerEngine` and cannot tell which it is.
import { randomInt } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/clock.ts';
import type { BrokerEngine, FlowOf } from './broker.ts';
import type { FlowPolicyOf } from './flow-policy.ts';
import type { LogLimits } from './log/limits.ts';
import type { LogBrokerOptions } from './log/open.ts';
import type { AccountOf } from './accounts.ts';
import type { RedisBrokerOptions } from './redis/open-redis-broker.ts';

export interface MemoryChoice {
  readonly engine: 'memory';
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Default: all topics are of one flow. */
  readonly flowOf?: FlowOf;
  /** Default: all flows have the same weight. */
  readonly policyOf?: FlowPolicyOf;
  /** Default: no topic counts for an account. */
  readonly accountOf?: AccountOf;
}

export interface LogChoice extends Pick<
  LogBrokerOptions,
  'folder' | 'fsync' | 'flowOf' | 'policyOf' | 'accountOf' | 'onFatal' | 'isClockTrusted' | 'onWarning'
> {
  readonly engine: 'log';
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Default: the engine's own. */
  readonly limits?: Partial<LogLimits>;
}

export interface RedisChoice extends Omit<RedisBrokerOptions, 'clock' | 'newEpoch'> {
  readonly engine: 'redis';
  /** Default: the system's. */
  readonly clock?: Clock;
}

export type EngineChoice = MemoryChoice | LogChoice | RedisChoice;

/** 51 bits: among a million epochs of one name, the chance of a repetition is below one in 7000. */
const EPOCH_CHARACTERS = 10;

export async function openBroker(choice: EngineChoice): Promise<BrokerEngine> {
  const { clock = systemClock } = choice;
  if (choice.engine === 'memory') {
    const { MemoryBroker } = await import('./memory/memory-broker.ts');
    return new MemoryBroker({ ...choice, clock, newEpoch: randomEpoch });
  }
  if (choice.engine === 'redis') {
    const { openRedisBroker } = await import('./redis/open-redis-broker.ts');
    return openRedisBroker({ ...choice, clock, newEpoch: randomEpoch });
  }
  const { openLogBroker } = await import('./log/open.ts');
  return openLogBroker({ ...choice, clock, newEpoch: randomEpoch });
}

export function randomEpoch(): string {
  return Array.from({ length: EPOCH_CHARACTERS }, () => randomInt(36).toString(36)).join('');
}
