// Which engine: the only place that knows them all. Everything above gets a `BrokerEngine` and cannot tell.
import { randomInt } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { BrokerEngine } from './broker.ts';
import { MemoryBroker } from './memory/memory-broker.ts';

export interface MemoryChoice {
  readonly engine: 'memory';
  /** Default: the system's. */
  readonly clock?: Clock;
}

export type EngineChoice = MemoryChoice;

/** 51 bits: over a million lives of one name, a repetition has a chance below one in 7000. */
const EPOCH_CHARACTERS = 10;

export async function openBroker({ clock = systemClock }: EngineChoice): Promise<BrokerEngine> {
  return new MemoryBroker({ clock, newEpoch: randomEpoch });
}

export function randomEpoch(): string {
  return Array.from({ length: EPOCH_CHARACTERS }, () => randomInt(36).toString(36)).join('');
}
