// What the storage holds after a chat is removed, and while its answered chat is idle: every topic of the engine is
// listed, and every record of it is searched for the chat's id.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { CONSUMED_REQUEST_TTL_MS, ENDED_SOON_MS, expireAfter } from '../../src/session/stores/leftovers.ts';
import { touchPresence } from '../../src/session/stores/presence.ts';
import { UserLimits } from '../../src/session/stores/user-limits.ts';
import { parentPrincipal, subagentSession } from '../../src/session/subagent-session.ts';
import { cursorsTopic } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { allTopics, ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';

const MINUTE = 60_000;
/** Longer than any time by which these tests move the clock at once. */
const LEASE_MS = 60 * MINUTE;
const PROMPT = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

/** The topics whose name or records contain the text. */
async function topicsWith(broker: BrokerEngine, text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await allTopics(broker)) {
    const result = await broker.read(name, 'earliest');
    const items = result.kind === 'batch' ? result.items : [];
    const holdsIt = items.some((item) => item.kind === 'record' && item.data.includes(text));
    if (name.includes(text) || holdsIt) found.push(name);
  }
  return found;
}

/** A rig whose users have limits, so that the engine counts their chats and runs. */
async function openRig(open: OpenEngine): Promise<ChatRig & { readonly limited: Limited }> {
  const rig = new ChatRig({ ...(await open(redis)), leaseMs: LEASE_MS });
  onTestFinished(() => rig.close());
  const { broker, log, clock } = rig;
  const limits = new UserLimits({ broker, log, clock, sessionsMax: 100, runsMax: 100 });
  let ids = 0;
  const limited = {
    sessions: new Sessions(broker, log, clock, undefined, limits),
    runs: new Runs(broker, log, clock, () => `limited${(ids += 1)}`, undefined, limits),
  };
  return Object.assign(rig, { limited });
}

interface Limited {
  readonly sessions: Sessions;
  readonly runs: Runs;
}

async function hasNoRun(rig: ChatRig, ref = rig.ref): Promise<boolean> {
  return (await rig.log.load(ref))?.state.runs.length === 0;
}

describe.each(ENGINES)('on the engine %s, the storage', (_name, open) => {
  it('holds nothing of a chat that was removed, and all of the others', async () => {
    const rig = await openRig(open);
    const { sessions, runs } = rig.limited;
    const chat = { tenant: 'default', sessionId: 'gone' };
    const other = { tenant: 'default', sessionId: 'stays' };
    for (const ref of [chat, other]) await sessions.create(rig.alice, ref, { title: `title of ${ref.sessionId}` });
    await rig.clock.advance(2 * MINUTE);
    rig.startWorker(8, { name: 'default' }, { name: 'asked' });

    const { runId } = await runs.send(rig.alice, chat, PROMPT);
    const ask = subagentSession({ ...chat, runId }, 'key');
    await runs.send(parentPrincipal({ ...chat, runId }), ask, { ...PROMPT, agent: 'asked' });
    for (const call of [await rig.model.call(0), await rig.model.call(1)]) call.say('answer').finish();
    await eventually(async () => (await hasNoRun(rig, chat)) && (await hasNoRun(rig, ask)));
    const loaded = await rig.log.load(chat);
    if (loaded === undefined) throw new Error('the chat is missing');
    await rig.cursors.store(rig.alice, chat, 'reader', { epoch: loaded.epoch, offset: 0 });
    await touchPresence(rig.broker, chat);
    const stopped = await runs.send(rig.alice, chat, PROMPT);
    await rig.model.call(2);
    await runs.cancel(rig.alice, chat, stopped.runId);
    await eventually(() => hasNoRun(rig, chat));
    await runs.send(rig.alice, other, PROMPT);
    (await rig.model.call(3)).say('answer').finish();
    await eventually(() => hasNoRun(rig, other));
    await rig.clock.advance(MINUTE - 1);
    const before = await topicsWith(rig.broker, 'gone');
    expect(before.map((name) => name.split('/')[0]).toSorted()).toEqual(
      ['chat', 'chats', 'cursors', 'request', 'request', 'response', 'runs', 'watch'].toSorted(),
    );

    await sessions.remove(rig.alice, chat);
    await rig.clock.advance(1000);
    await eventually(async () => (await topicsWith(rig.broker, 'request')).every((name) => !name.includes('gone')));
    expect(await topicsWith(rig.broker, 'gone')).toEqual([]);
    expect((await topicsWith(rig.broker, 'stays')).map((name) => name.split('/')[0])).toEqual(
      expect.arrayContaining(['chat', 'chats', 'runs']),
    );
    expect((await sessions.list(rig.alice, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual([
      'stays',
    ]);
  });

  it('names none of several chats that were removed at the same time, and whose names one record has', async () => {
    const { broker, alice, clock, limited } = await openRig(open);
    // So many that a reader rewrites the list.
    const chats = Array.from({ length: 70 }, (_, i) => ({ tenant: 'default', sessionId: `chat-${i}-` }));
    for (const ref of chats) await limited.sessions.create(alice, ref, {});
    await clock.advance(2 * MINUTE);
    await limited.sessions.list(alice, 100, undefined);
    await Promise.all(chats.slice(0, 4).map(async (ref) => limited.sessions.remove(alice, ref)));
    for (const [i, { sessionId }] of chats.slice(0, 5).entries())
      expect(await topicsWith(broker, sessionId)).toHaveLength(i < 4 ? 0 : 2);
  });

  it('names no chat whose removal failed in the middle and was repeated', async () => {
    const { broker, alice, ref, clock, limited } = await openRig(open);
    await limited.runs.send(alice, ref, PROMPT);
    await clock.advance(2 * MINUTE);
    const remove = broker.remove.bind(broker);
    broker.remove = async (topic) => {
      if (topic === cursorsTopic(ref)) throw new BrokerError('unavailable', 'nobody there');
      return remove(topic);
    };
    await expect(limited.sessions.remove(alice, ref)).rejects.toMatchObject({ code: 'unavailable' });
    broker.remove = remove;
    await expect(limited.sessions.remove(alice, ref)).rejects.toMatchObject({ code: 'not-found' });
    await clock.advance(1000);
    await eventually(async () => (await topicsWith(broker, 's1')).length === 0);
  });

  it('holds no request of a chat whose removal failed after the chat was gone', async () => {
    const { broker, alice, ref, clock, limited } = await openRig(open);
    await limited.runs.send(alice, ref, PROMPT);
    await clock.advance(2 * MINUTE);
    const append = broker.append.bind(broker);
    const remove = broker.remove.bind(broker);
    broker.remove = async (topic) => {
      broker.append = () => Promise.reject(new BrokerError('unavailable', 'no answer'));
      return remove(topic);
    };
    await expect(limited.sessions.remove(alice, ref)).rejects.toMatchObject({ code: 'unavailable' });
    Object.assign(broker, { append, remove });
    await expect(limited.sessions.remove(alice, ref)).rejects.toMatchObject({ code: 'not-found' });
    await clock.advance(ENDED_SOON_MS + 1000);
    await eventually(async () => (await topicsWith(broker, 's1')).length === 0);
  });

  it('holds the request of a chat whose removal failed before the chat was gone, until the chat ends too', async () => {
    const { broker, alice, ref, clock, limited } = await openRig(open);
    await limited.runs.send(alice, ref, PROMPT);
    const remove = broker.remove.bind(broker);
    broker.remove = () => Promise.reject(new BrokerError('unavailable', 'no answer'));
    await expect(limited.sessions.remove(alice, ref)).rejects.toMatchObject({ code: 'unavailable' });
    broker.remove = remove;
    await clock.advance(ENDED_SOON_MS - 1);
    expect((await topicsWith(broker, 's1')).map((name) => name.split('/')[0])).toEqual(
      expect.arrayContaining(['chat', 'request']),
    );
    await clock.advance(1000);
    await eventually(async () => (await allTopics(broker, 'chat')).length === 0);
    expect(await allTopics(broker, 'request')).toEqual([]);
  });

  it.each(['the first cursor', 'another cursor'])(
    'holds no cursor when a chat is removed while a reader stores %s',
    async (which) => {
      const { broker, alice, ref, sessions, cursors, log } = await openRig(open);
      await sessions.create(alice, ref, {});
      const epoch = (await log.load(ref))?.epoch ?? '';
      const position = { epoch, offset: 0 };
      if (which === 'another cursor') await cursors.store(alice, ref, 'phone', position);
      const read = broker.read.bind(broker);
      let isRemoved = false;
      broker.read = async (topic, ...more) => {
        const result = await read(topic, ...more);
        if (topic !== cursorsTopic(ref) || isRemoved) return result;
        isRemoved = true;
        await sessions.remove(alice, ref);
        return result;
      };
      await expect(cursors.store(alice, ref, 'tab', position)).rejects.toMatchObject({ code: 'cursor-conflict' });
      expect(await allTopics(broker, 'cursors')).toEqual([]);
    },
  );

  it('holds no request topic of an answered chat that was idle for some minutes, and the chat continues', async () => {
    const rig = await openRig(open);
    rig.startWorker();
    await rig.prompt('one');
    (await rig.model.call(0)).say('answer').finish();
    await eventually(() => hasNoRun(rig));
    await eventually(async () => {
      const [request] = await rig.broker.describe(await allTopics(rig.broker, 'request'));
      return request?.ttlMs === CONSUMED_REQUEST_TTL_MS;
    });
    await rig.clock.advance(CONSUMED_REQUEST_TTL_MS - 1);
    expect(await allTopics(rig.broker, 'request')).toHaveLength(1);
    await rig.clock.advance(1000);
    await eventually(async () => (await allTopics(rig.broker, 'request')).length === 0);
    await rig.prompt('two');
    (await rig.model.call(1)).say('answer').finish();
    await eventually(() => hasNoRun(rig));
    expect((await rig.sessions.describe(rig.alice, rig.ref)).messages).toBe(4);
  });

  it('keeps a request that no worker has consumed, and one that a worker holds, also under a short TTL', async () => {
    const rig = await openRig(open);
    const worker = rig.startWorker();
    await rig.prompt('one');
    (await rig.model.call(0)).say('answer').finish();
    await eventually(() => hasNoRun(rig));
    await worker.close();
    const { runId } = await rig.prompt('waits');
    // As the worker does whose request is followed by this one before it shortens the TTL.
    const shorten = async (): Promise<void> => {
      const [request] = await rig.broker.describe(await allTopics(rig.broker, 'request'));
      if (request === undefined) throw new Error('the request is missing');
      await expireAfter(rig.broker, request.topic, request.epoch, CONSUMED_REQUEST_TTL_MS);
    };
    await shorten();
    await rig.clock.advance(2 * CONSUMED_REQUEST_TTL_MS);
    rig.startWorker();
    const held = await rig.model.call(1);
    await shorten();
    await rig.clock.advance(2 * CONSUMED_REQUEST_TTL_MS);
    expect(await allTopics(rig.broker, 'request')).toHaveLength(1);
    held.say('answer').finish();
    await eventually(() => hasNoRun(rig));
    expect(JSON.stringify(await rig.seen())).toContain(`"run.completed","data":{"runId":"${runId}"`);
  });

  it('keeps the request of a chat that was made again after its removal', async () => {
    const rig = await openRig(open);
    await rig.prompt('one');
    await rig.sessions.remove(rig.alice, rig.ref);
    await rig.prompt('two');
    await rig.clock.advance(2 * CONSUMED_REQUEST_TTL_MS);
    rig.startWorker();
    (await rig.model.call(0)).say('answer').finish();
    await eventually(() => hasNoRun(rig));
    expect(rig.model.calls).toHaveLength(1);
  });
});
