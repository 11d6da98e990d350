// A wall clock that is set by an hour while chats, requests and cursors wait for their ends: it ends nothing that is
// needed, and delays what is not needed by at most that hour.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CONSUMED_REQUEST_TTL_MS, expireAfter } from '../../src/session/stores/leftovers.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { allTopics, ENGINES } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';

const HOUR = 60 * 60_000;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

describe.each(ENGINES)('on the engine %s, a clock that is set by an hour', (_name, open) => {
  it.each([
    ['ahead', HOUR],
    ['back', -HOUR],
  ])(
    '%s loses neither a waiting request nor a chat, and keeps a consumed request for at most that hour',
    async (_way, jump) => {
      // The lease is longer than all moves of the clock.
      const rig = new ChatRig({ ...(await open(redis)), leaseMs: 10 * HOUR });
      onTestFinished(() => rig.close());
      const isIdle = async (): Promise<boolean> => (await rig.log.load(rig.ref))?.state.runs.length === 0;
      const request = async () => (await rig.broker.describe(await allTopics(rig.broker, 'request')))[0];
      const isShort = async (): Promise<boolean> => (await request())?.ttlMs === CONSUMED_REQUEST_TTL_MS;
      await rig.sessions.create(rig.alice, rig.ref, { ttlMs: 3 * HOUR });

      const worker = rig.startWorker();
      await rig.prompt('one');
      (await rig.model.call(0)).say('answer').finish();
      await eventually(async () => (await isIdle()) && (await isShort()));
      await worker.close();
      await rig.prompt('waits');
      const waiting = await request();
      if (waiting === undefined) throw new Error('the request is missing');
      await expireAfter(rig.broker, waiting.topic, waiting.epoch, CONSUMED_REQUEST_TTL_MS);
      rig.clock.jumpWall(jump);
      await rig.clock.advance(2 * CONSUMED_REQUEST_TTL_MS);
      expect((await request())?.epoch).toBe(waiting.epoch);

      const later = rig.startWorker();
      (await rig.model.call(1)).say('answer').finish();
      await eventually(async () => (await isIdle()) && ((await request()) === undefined || (await isShort())));
      await later.close();
      rig.clock.jumpWall(-jump);
      await rig.clock.advance(HOUR + CONSUMED_REQUEST_TTL_MS + 1000);
      await eventually(async () => (await request()) === undefined);
      expect((await rig.sessions.describe(rig.alice, rig.ref)).messages).toBe(4);
    },
  );
});
