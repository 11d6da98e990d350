// A run that is under way when Redis comes back with possibly less data: the chat continues in another epoch, and the
// run ends.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatTopic } from '../../../src/session/topic-names.ts';
import { ChatRig, joinAnswer } from '../../support/chat-rig.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

/** Longer than the test moves its clock during network calls, so that the run is given back and its lease does not run
 *  out. */
const LEASE_MS = 24 * 3_600_000;

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

test('a run continues in the next era of its store, and every run ends', async () => {
  const store = new RedisStore(server);
  const clock = new ManualClock();
  const rig = new ChatRig({ clock, leaseMs: LEASE_MS, broker: await store.open({ clock, clockDecides: true }) });
  try {
    rig.startWorker();
    const { runId } = await rig.prompt('hello');
    const first = (await rig.model.call(0)).say('before ');
    await eventually(async () => ((await rig.broker.describe([chatTopic(rig.ref)]))[0]?.next ?? 0) >= 3);
    // Simulates a restart of the server that may have lost the last second.
    await store.raw().hset(store.historyKey(chatTopic(rig.ref)), 'id', 'of another server');
    first.say('lost');
    await eventually(() => first.isAborted);
    await eventually(async () => {
      await clock.advance(1_000);
      return rig.model.calls.length > 1;
    });
    (await rig.model.call(1)).say('after').finish();
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
    expect(joinAnswer(await rig.seen(), runId)).toBe('before after');
  } finally {
    await rig.close();
  }
});
