// What the process logs about its storage.
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { BrokerHealth } from '../../src/broker/health.ts';
import { HealthLog } from '../../src/cli/health-log.ts';
import { ManualClock } from '../support/manual-clock.ts';

const LOOK_MS = 1_000;

/** Logs one look for each state, and returns the messages. */
async function messagesOf(states: readonly BrokerHealth['state'][]): Promise<readonly string[]> {
  const clock = new ManualClock();
  const messages: string[] = [];
  const logger = pino({}, { write: (line: string) => void messages.push((JSON.parse(line) as { msg: string }).msg) });
  let state = states[0] ?? 'ready';
  const log = new HealthLog({ health: () => ({ state, durability: '' }) }, clock, logger);
  log.start();
  for (const next of states.slice(1)) {
    state = next;
    await clock.advance(LOOK_MS);
  }
  log.stop();
  return messages;
}

it('the health log › does not report a connection that was being opened at one look', async () => {
  expect(await messagesOf(['unavailable', 'ready', 'unavailable', 'ready', 'ready'])).toEqual([]);
});

it('the health log › reports a storage that is away at two looks, once, and its return', async () => {
  const states = ['ready', 'unavailable', 'unavailable', 'unavailable', 'ready', 'ready'] as const;
  expect(await messagesOf(states)).toEqual(['the storage is unavailable', 'the storage is back']);
});

it('the health log › reports a storage that is full or degraded at once', async () => {
  expect(await messagesOf(['full', 'ready'])).toEqual(['the storage is full', 'the storage is back']);
  expect(await messagesOf(['ready', 'degraded'])).toEqual([expect.stringContaining('the storage is degraded')]);
});
