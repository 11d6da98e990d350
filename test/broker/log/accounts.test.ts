// The figures of accounts survive a crash, and a folder without them is counted when it is opened.
import { systemClock } from '../../../src/base/clock.ts';
import { TurnSlice } from '../../../src/base/turn-slice.ts';
import { describe, expect, test } from 'vitest';
import { Account, Accounts } from '../../../src/broker/accounts.ts';
import type { PlannedWrite } from '../../../src/broker/append-rules.ts';
import { BrokerError } from '../../../src/broker/errors.ts';
import { countUncounted } from '../../../src/broker/log/topics/stored-accounts.ts';
import type { TopicTable } from '../../../src/broker/log/topics/topic-table.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { accountOf, changeAtRandom, countedUsage, usageOf } from '../contract/quota.ts';
import { topicName, write, major, outcome } from '../contract/subject.ts';
import { Random } from '../../worlds/random.ts';
import { crashCopy, openLog } from './opened-log.ts';

test('an account holds what its topics hold after a crash at any moment', async () => {
  const { broker, folder, clock, reopen } = await openLog({ accountOf });
  const random = new Random(3);
  const beside = new Map<LiteTopicName, number>();
  let engine = broker;
  for (let part = 0; part < 5; part += 1) {
    await changeAtRandom(engine, random, 9, beside);
    const usage = await usageOf(engine, 'acme');
    const { broker: again } = await openLog({ folder: await crashCopy(folder), clock, accountOf });
    expect(await usageOf(again, 'acme')).toEqual(usage);
    expect(await countedUsage(again, beside)).toEqual(usage);
    // Its close writes a checkpoint: some of the history is in the index from then on, and some only in the log.
    engine = await reopen();
  }
});

test('the bucket of creations is as empty after a crash as before', async () => {
  const { broker, folder, clock, reopen } = await openLog({ accountOf });
  const quota = { creations: { perSecond: 0.1, burst: 3 } };
  const make = (engine: typeof broker, name: string): Promise<string> =>
    outcome(
      engine.append([
        write(topicName(`chat/acme:${name}`), major('a'), { expect: { absent: true }, ttlMs: 100_000, quota }),
      ]),
    );
  await make(broker, 'a');
  const engine = await reopen();
  await clock.advance(4_000);
  await make(engine, 'b');
  await make(engine, 'c');
  await clock.advance(5_999);
  expect(await make(engine, 'd')).toBe('quota-rate-reached');
  const { broker: again } = await openLog({ folder: await crashCopy(folder), clock, accountOf });
  expect(await make(again, 'd')).toBe('quota-rate-reached');
  await clock.advance(1);
  expect(await make(again, 'd')).toBe('accepted');
});

test('the topics of a folder without figures are counted when it is opened', async () => {
  const { broker, reopen } = await openLog();
  const beside = await changeAtRandom(broker, new Random(5), 20);
  const engine = await reopen({ accountOf });
  const usage = await usageOf(engine, 'acme');
  expect(usage).toEqual(await countedUsage(engine, beside));
  expect(usage.topics).toBeGreaterThan(0);
  expect(await usageOf(await reopen({ accountOf }), 'acme')).toEqual(usage);
});

describe('the bucket of creations', () => {
  const quota = { creations: { perSecond: 5, burst: 50 } };
  const made = (topic: string) =>
    ({ write: { topic: topicName(topic), records: [] }, created: true }) as unknown as PlannedWrite;

  test('begins full, however many topics were made while there was no rate', () => {
    const account = new Account('acme');
    for (let i = 0; i < 10_000; i++) account.topicMade(i);
    for (let i = 0; i < 50; i++) {
      account.reserve(quota, made('chat/a'), 0, 20_000)();
      account.topicMade(20_000);
    }
    expect(() => account.reserve(quota, made('chat/a'), 0, 20_000)).toThrow('quota-rate-reached');
  });

  test('fills from now on when the clock was ahead and is set back', () => {
    const account = new Account('acme');
    const day = 24 * 60 * 60 * 1000;
    for (let i = 0; i < 50; i++) {
      account.reserve(quota, made('chat/a'), 0, day)();
      account.topicMade(day);
    }
    expect(() => account.reserve(quota, made('chat/a'), 0, 0)).toThrow('quota-rate-reached');
    expect(() => account.reserve(quota, made('chat/a'), 0, 200)).not.toThrow();
  });
});

test('a folder whose index has a damaged part is counted as far as it can be read, in slices', async () => {
  const accounts = new Accounts(() => 'acme');
  const corrupt = (): never => {
    throw new BrokerError('corrupt', 'a page');
  };
  const index = {
    state: () => undefined,
    *topicsFrom(start: string) {
      for (const name of ['chat/a', 'chat/b', 'chat/bad'])
        if (name >= start) yield { name: topicName(name), entry: Buffer.alloc(0) };
      corrupt();
    },
  };
  const table = { peek: (name: string) => (name === 'chat/bad' ? corrupt() : { visible: { beside: 1 }, bytes: 2 }) };
  const warnings: string[] = [];
  const slice = new TurnSlice(systemClock, { sliceItems: 1, sliceMs: Infinity });
  const parts = { index, table: table as unknown as TopicTable, accounts, slice };
  await countUncounted(parts, (text) => warnings.push(text));
  expect(accounts.of(topicName('chat/a'))?.figures.slice(0, 2)).toEqual([2, 6]);
  expect(warnings).toHaveLength(2);
});
