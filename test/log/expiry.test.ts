// Topics that nobody asks for end when their time comes, also where the index on disk knows an earlier one: what is
// written to is not moved there until then.
import { test } from 'vitest';
import { TOMBSTONE_MS, type BrokerEngine } from '../../src/broker/broker.ts';
import { append, CHAT, minor } from '../contract/subject.ts';
import { eventually } from '../helpers/collector.ts';
import { openLog } from './opened-log.ts';

const MINUTE = 60_000;

/** The end of its life is an hour ago: were it ended only now, by who asks, its tombstone would stand. */
async function endedAnHourAgo(broker: BrokerEngine, epoch: string): Promise<boolean> {
  return (await broker.read(CHAT, { epoch, offset: 0 })).kind === 'missing';
}

test.each([
  ['before its first time comes', [2]],
  ['before each of its times comes', [2, 4]],
  ['not at all', []],
])('a topic that was written to ends by itself when its last TTL is over, reopened %s', async (_when, reopenedAt) => {
  const { broker, clock, reopen } = await openLog();
  const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: 3 * MINUTE });
  let engine = await reopen();
  for (let minute = 1; minute <= 5; minute += 1) {
    await clock.advance(MINUTE);
    if (minute === 2) await append(engine, CHAT, minor('b'));
    if ((reopenedAt).includes(minute)) engine = await reopen();
    // Neither read nor described: that would look at its time.
  }
  await clock.advance(TOMBSTONE_MS);
  await eventually(async () => endedAnHourAgo(engine, epoch));
});
