// What one user may have at a time, on every engine and on two nodes of it: chats, and runs that are queued or running.
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerEngine, NewRecord } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { subagentSession, parentPrincipal } from '../../src/session/subagent-session.ts';
import { Branches } from '../../src/session/branches.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Runs, type Prompt, type SentPrompt } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { chatTopic, openRunsTopic } from '../../src/session/topic-names.ts';
import { inputIdOf } from '../../src/session/waits/new-wait.ts';
import { UserLimits } from '../../src/session/stores/user-limits.ts';
import { countingBroker } from '../support/counting-broker.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis-server.ts';
import { WaitNode } from '../support/waiting-run.ts';
import { QUESTION } from '../support/waits.ts';
import { openLog, segmentPath } from '../broker/log/opened-log.ts';
import { RedisStore } from '../broker/redis/redis-store.ts';

const ALICE = { tenant: 'default', user: 'alice' };
const BOB = { tenant: 'default', user: 'bob' };
const PROMPT: Prompt = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' };
const TOO_MANY_RUNS = { code: 'too-many-runs', retryable: true };
const TOO_MANY_SESSIONS = { code: 'too-many-sessions', retryable: false };
/** One that asks nobody twice about a user who has too many. */
const REST_MS = 1_000;

let ids = 0;

class Node {
  readonly runs: Runs;
  readonly sessions: Sessions;
  readonly branches: Branches;

  constructor(broker: BrokerEngine, clock: Clock, max: { readonly sessionsMax?: number; readonly runsMax?: number }) {
    const log = new CommandLog(broker, () => 0);
    const newId = (): string => `id${(ids += 1)}`;
    const limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax: 0, ...max });
    this.runs = new Runs(broker, log, clock, newId, undefined, limits);
    this.sessions = new Sessions(broker, log, clock, undefined, limits);
    this.branches = new Branches(broker, log, clock, newId, limits);
  }

  send(sessionId: string, more: Partial<Prompt> = {}, user = ALICE): Promise<SentPrompt> {
    return this.runs.send(user, chat(sessionId), { ...PROMPT, ...more });
  }

  async listed(): Promise<string[]> {
    return (await this.sessions.list(ALICE, 100, undefined)).sessions.map(({ sessionId }) => sessionId).toSorted();
  }
}

function minor(data: string): NewRecord {
  return { major: false, data };
}

function chat(sessionId: string): { tenant: string; sessionId: string } {
  return { tenant: 'default', sessionId };
}

interface Storage {
  readonly clock: Clock;
  /** Two nodes' ways to it; the same one where only one process may have it. */
  readonly brokers: readonly [BrokerEngine, BrokerEngine];
  readonly reopen?: () => Promise<BrokerEngine>;
}

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const ENGINES: readonly (readonly [string, () => Promise<Storage>])[] = [
  [
    'memory',
    async () => {
      const { clock, broker } = memory();
      return Promise.resolve({ clock, brokers: [broker, broker] });
    },
  ],
  [
    'the embedded log',
    async () => {
      const { clock, broker, reopen } = await openLog();
      return { clock, brokers: [broker, broker], reopen: () => reopen() };
    },
  ],
  [
    'Redis',
    async () => {
      const store = new RedisStore(server);
      return { clock: systemClock, brokers: [await store.open(), await store.open()], reopen: () => store.open() };
    },
  ],
];

function watched(broker: MemoryBroker, calls: Partial<BrokerEngine>): BrokerEngine {
  return Object.assign(Object.create(broker) as MemoryBroker, {
    append: broker.append.bind(broker),
    read: broker.read.bind(broker),
    describe: broker.describe.bind(broker),
    list: broker.list.bind(broker),
    remove: broker.remove.bind(broker),
    ...calls,
  });
}

function memory(): { clock: ManualClock; broker: MemoryBroker } {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => `e${(ids += 1)}` });
  onTestFinished(() => broker.close());
  return { clock, broker };
}

describe.each(ENGINES)('on %s', (_name, open) => {
  it('refuses a run beyond the limit of its user, whichever chat and node it is for', async () => {
    const { clock, brokers } = await open();
    const [here, there] = [new Node(brokers[0], clock, { runsMax: 4 }), new Node(brokers[1], clock, { runsMax: 4 })];
    const first = await here.send('a', { messageId: 'm1' });
    await here.send('a');
    await there.send('b');
    await here.send('c');
    for (const node of [here, there]) {
      for (const id of ['a', 'c', 'new'])
        await expect(node.send(id)).rejects.toMatchObject({ ...TOO_MANY_RUNS, limit: 4 });
      // A retry is no other run, and another user has runs of its own.
      expect(await node.send('a', { messageId: 'm1' })).toMatchObject({ runId: first.runId });
    }
    await there.send('bobs', {}, BOB);
    // The chat of a refused prompt was not made.
    expect(await here.listed()).toEqual(['a', 'b', 'c']);
    await here.runs.cancel(ALICE, chat('a'), first.runId);
    await there.send('c');
    await expect(here.send('c')).rejects.toMatchObject(TOO_MANY_RUNS);
    await there.sessions.remove(ALICE, chat('b'));
    await here.send('a');
    await expect(there.send('a')).rejects.toMatchObject(TOO_MANY_RUNS);
  });

  it('counts an answer that is regenerated, and lets a prompt in that ends the runs before it', async () => {
    const { clock, brokers } = await open();
    const node = new Node(brokers[0], clock, { runsMax: 2 });
    const { messageId, runId } = await node.send('a');
    await node.runs.cancel(ALICE, chat('a'), runId);
    const again = { messageId, priority: 'normal', onBusy: 'queue', admit: () => '' } as const;
    await node.branches.regenerate(ALICE, chat('a'), { ...again, answerId: 'n1' });
    await node.send('b');
    await node.branches.regenerate(ALICE, chat('a'), { ...again, answerId: 'n1' });
    const { runId: other } = await node.send('b', { onBusy: 'interrupt' });
    await expect(
      node.branches.regenerate(ALICE, chat('a'), { ...again, onBusy: 'interrupt', answerId: 'n2' }),
    ).resolves.toMatchObject({ answerId: 'n2' });
    await expect(node.send('c')).rejects.toMatchObject(TOO_MANY_RUNS);
    await node.runs.cancel(ALICE, chat('b'), other);
    await node.send('c');
    await expect(node.branches.regenerate(ALICE, chat('b'), { ...again, messageId: 'none' })).rejects.toMatchObject({
      code: 'message-not-found',
    });
  });

  it('counts a run that waits for a human, takes its answer, and lets a prompt in that ends it', async () => {
    const { clock, brokers } = await open();
    const [here, there] = [new Node(brokers[0], clock, { runsMax: 1 }), new Node(brokers[1], clock, { runsMax: 1 })];
    const asking = new WaitNode(brokers[1], clock);
    const wait = async ({ runId }: SentPrompt): Promise<string> => {
      await (await asking.take(chat('a'), runId)).ask(QUESTION);
      for (const node of [here, there]) await expect(node.send('b')).rejects.toMatchObject(TOO_MANY_RUNS);
      return inputIdOf(runId, 0, 'size');
    };
    await wait(await here.send('a'));
    const inputId = await wait(await there.send('a', { onBusy: 'interrupt' }));
    await asking.inputs.answerAll(ALICE, chat('a'), [{ inputId, reply: { value: 'large' } }]);
    await expect(there.send('b')).rejects.toMatchObject(TOO_MANY_RUNS);
    await here.runs.cancel(ALICE, chat('a'), undefined);
    await there.send('b');
  });

  it('refuses a chat beyond the limit of its user, however and wherever it is made', async () => {
    const { clock, brokers } = await open();
    const [here, there] = [
      new Node(brokers[0], clock, { sessionsMax: 3 }),
      new Node(brokers[1], clock, { sessionsMax: 3 }),
    ];
    await here.sessions.create(ALICE, chat('a'), {});
    await there.send('b');
    await here.send('c');
    for (const node of [here, there]) {
      await expect(node.sessions.create(ALICE, chat('d'), {})).rejects.toMatchObject({
        ...TOO_MANY_SESSIONS,
        limit: 3,
      });
      await expect(node.send('d')).rejects.toMatchObject(TOO_MANY_SESSIONS);
      expect(await node.sessions.create(ALICE, chat('a'), {})).toMatchObject({ created: false });
      await node.send('a');
      expect(await node.listed()).toEqual(['a', 'b', 'c']);
    }
    await there.sessions.create(BOB, chat('bobs'), {});
    await here.sessions.remove(ALICE, chat('b'));
    expect(await here.sessions.create(ALICE, chat('d'), {})).toMatchObject({ created: true });
    await expect(here.sessions.create(ALICE, chat('e'), {})).rejects.toMatchObject(TOO_MANY_SESSIONS);
    expect(await here.listed()).toEqual(['a', 'c', 'd']);
  });

  it('lets in as many as fit of those that are asked for at once', async () => {
    const { clock, brokers } = await open();
    const node = new Node(brokers[0], clock, { runsMax: 5, sessionsMax: 8 });
    const sent = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) => node.send(`c${i}`)));
    expect(sent.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    const made = await Promise.allSettled(
      Array.from({ length: 20 }, async (_, i) => node.sessions.create(ALICE, chat(`d${i}`), {})),
    );
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await node.listed()).toHaveLength(8);
  });

  it('never refuses a user who has few at a time, however many they were', async () => {
    const { clock, brokers } = await open();
    const node = new Node(brokers[0], clock, { runsMax: 2, sessionsMax: 2 });
    for (let i = 0; i < 150; i += 1) {
      const { runId } = await node.send(`c${i}`);
      await node.runs.cancel(ALICE, chat(`c${i}`), runId);
      await node.sessions.remove(ALICE, chat(`c${i}`));
    }
    expect(await node.listed()).toEqual([]);
  });
});

describe.each(ENGINES.filter(([name]) => name !== 'memory'))('after a restart on %s', (_name, open) => {
  it('counts the runs and chats of before', async () => {
    const { clock, brokers, reopen } = await open();
    const before = new Node(brokers[0], clock, { runsMax: 3, sessionsMax: 2 });
    for (const id of ['a', 'b', 'a']) await before.send(id);
    const after = new Node((await reopen?.()) ?? brokers[0], clock, { runsMax: 3, sessionsMax: 2 });
    await expect(after.send('a')).rejects.toMatchObject(TOO_MANY_RUNS);
    await expect(after.sessions.create(ALICE, chat('c'), {})).rejects.toMatchObject(TOO_MANY_SESSIONS);
  });
});

it('another node finds within a second that a chat was removed', async () => {
  const { clock, broker } = memory();
  const [here, there] = [new Node(broker, clock, { sessionsMax: 1 }), new Node(broker, clock, { sessionsMax: 1 })];
  await here.sessions.create(ALICE, chat('a'), {});
  await expect(there.sessions.create(ALICE, chat('b'), {})).rejects.toMatchObject(TOO_MANY_SESSIONS);
  await here.sessions.remove(ALICE, chat('a'));
  await clock.advance(REST_MS);
  expect(await there.sessions.create(ALICE, chat('b'), {})).toMatchObject({ created: true });
});

it('what a run asks of other agents is not counted and not refused', async () => {
  const { clock, broker } = memory();
  const node = new Node(broker, clock, { runsMax: 1, sessionsMax: 1 });
  const { runId } = await node.send('a');
  const parent = { ...chat('a'), runId };
  for (const key of ['one', 'two', 'three'])
    await node.runs.send(parentPrincipal(parent), subagentSession(parent, key), PROMPT);
  await node.runs.cancel(ALICE, chat('a'), runId);
  await node.send('a');
});

describe('a prompt whose chat is removed after the prompt was admitted', () => {
  const send = async (
    max: { readonly sessionsMax?: number; readonly runsMax?: number },
    isRemovedBefore: (call: string) => boolean,
  ): Promise<[Node, SentPrompt]> => {
    const { clock, broker } = memory();
    const other = new Node(broker, clock, {});
    const { runId } = await other.send('a');
    await other.runs.cancel(ALICE, chat('a'), runId);
    let isRemoved = true;
    const between = async (call: string): Promise<void> => {
      if (isRemoved || !isRemovedBefore(call)) return;
      isRemoved = true;
      await other.sessions.remove(ALICE, chat('a'));
      await other.send('b');
    };
    const append: BrokerEngine['append'] = async (writes) => {
      await between(`append ${writes[0]?.topic ?? ''}`);
      return broker.append(writes);
    };
    const node = new Node(watched(broker, { append }), clock, max);
    isRemoved = false;
    return [node, await node.send('a')];
  };
  const [named, stored] = [`append ${openRunsTopic(ALICE)}`, `append ${chatTopic(chat('a'))}`];

  it.each([
    ['too-many-sessions', { sessionsMax: 1, runsMax: 10 }, named],
    ['too-many-sessions', { sessionsMax: 1 }, stored],
  ])('is refused with %s where the chat would be one too many', async (code, max, before) => {
    await expect(send(max, (call) => call === before)).rejects.toMatchObject({ code });
  });

  it('creates the chat again where there is room', async () => {
    const [node, sent] = await send({ sessionsMax: 2, runsMax: 2 }, (call) => call === stored);
    expect([sent.queued, await node.listed()]).toEqual([0, ['a', 'b']]);
  });

  it('is refused with too-many-runs where its run is one too many', async () => {
    const { clock, broker } = memory();
    const other = new Node(broker, clock, {});
    const { runId } = await other.send('a');
    await other.runs.cancel(ALICE, chat('a'), runId);
    const describe: BrokerEngine['describe'] = async (topics, options) => {
      if (options?.isDurable === true) await broker.remove(chatTopic(chat('a')));
      return broker.describe(topics);
    };
    const node = new Node(watched(broker, { describe }), clock, { runsMax: 1 });
    await node.send('b');
    await expect(node.send('a')).rejects.toMatchObject(TOO_MANY_RUNS);
    expect(await node.listed()).toEqual(['b']);
  });
});

it('a prompt that interrupts a running run is refused at the limit, one that withdraws a queued run is not', async () => {
  const { clock, broker } = memory();
  const node = new Node(broker, clock, { runsMax: 1 });
  await node.send('a');
  const { runId } = await node.send('a', { onBusy: 'interrupt' });
  const commandLog = new CommandLog(broker, () => 0);
  const run = await FakeRun.take({ broker, commandLog }, 'a', runId);
  await expect(node.send('a', { onBusy: 'interrupt' })).rejects.toMatchObject({ ...TOO_MANY_RUNS, limit: 1 });
  expect((await commandLog.load(chat('a')))?.state.runs).toMatchObject([{ runId, state: 'running' }]);
  // A stopped run counts until it has ended.
  await node.runs.cancel(ALICE, chat('a'), runId);
  await expect(node.send('a')).rejects.toMatchObject(TOO_MANY_RUNS);
  await run.cancelled(ALICE.user);
  expect(await node.send('a')).toMatchObject({ queued: 0 });
});

it('a prompt whose run was queued and could not be counted is refused as unavailable, and no other one is admitted uncounted', async () => {
  const { clock, broker } = memory();
  let isFull = false;
  const append: BrokerEngine['append'] = async (writes) => {
    if (isFull && writes.some(({ topic }) => topic === openRunsTopic(ALICE)))
      throw new BrokerError('disk-full', 'a test');
    return broker.append(writes);
  };
  const node = new Node(watched(broker, { append }), clock, { runsMax: 100 });
  await node.send('a');
  isFull = true;
  await expect(node.send('a', { messageId: 'm' })).rejects.toMatchObject({ code: 'unavailable' });
  expect(await node.send('a', { messageId: 'm' })).toMatchObject({ messageId: 'm', queued: 1 });
  for (let i = 0; i < 3; i += 1) await expect(node.send('a')).rejects.toMatchObject({ code: 'disk-full' });
  isFull = false;
  expect(await node.send('a')).toMatchObject({ queued: 2 });
});

it('a prompt reads no more for it, and the names of chats that have no run are given up', async () => {
  const { clock, broker: inner } = memory();
  const { broker, counts } = countingBroker(inner);
  const [limited, free] = [new Node(broker, clock, { runsMax: 100 }), new Node(broker, clock, {})];
  const readsOf = async (node: Node, user: typeof ALICE, sessionId: string): Promise<number> => {
    const before = counts.reads;
    const { runId } = await node.send(sessionId, {}, user);
    const reads = counts.reads - before;
    await node.runs.cancel(user, chat(sessionId), runId);
    return reads;
  };
  for (const [node, user, id] of [
    [limited, ALICE, 'a'],
    [free, BOB, 'b'],
  ] as const)
    await readsOf(node, user, id);
  for (let i = 0; i < 50; i += 1) expect(await readsOf(limited, ALICE, 'a')).toBe(await readsOf(free, BOB, 'b'));
  let reads = 0;
  for (let i = 0; i < 1000; i += 1) {
    await clock.advance(1_000);
    reads += await readsOf(limited, ALICE, 'a');
  }
  // One count in a hundred prompts.
  expect(reads).toBeLessThan(20);
  const [info] = await broker.describe([openRunsTopic(ALICE)]);
  expect(info?.bytes).toBeLessThan(200 * 60);
});

it('the run log of a user › is read without its damaged records', async () => {
  const log = await openLog();
  const before = new Node(log.broker, log.clock, { runsMax: 4 });
  for (const id of ['chat-a', 'chat-b', 'chat-c']) await before.send(id);
  await log.broker.append([
    { topic: openRunsTopic(ALICE), records: ['{', 'null', '{"v":1,"runs":[7]}'].map(minor), expect: { create: true } },
  ]);
  await log.broker.close();
  const bytes = await readFile(segmentPath(log.folder));
  for (const id of ['chat-a', 'chat-c']) bytes[bytes.indexOf(`"runs":[["${id}"`)] = 0x54;
  await writeFile(segmentPath(log.folder), bytes);

  const after = new Node(await log.reopen(), log.clock, { runsMax: 2 });
  await after.send('chat-b');
  // The damaged records are not counted; the readable ones are.
  await expect(after.send('chat-b')).rejects.toMatchObject(TOO_MANY_RUNS);
});
