// Accounts and their quotas on Redis beyond the contract: several nodes, lost steps, nodes of an earlier version.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Broker, TopicWrite } from '../../../../src/broker/broker.ts';
import { BrokerError } from '../../../../src/broker/errors.ts';
import { randomEpoch } from '../../../../src/broker/open-broker.ts';
import { AccountQuotas } from '../../../../src/broker/redis/accounts/account-quotas.ts';
import { COUNT } from '../../../../src/broker/redis/accounts/count-scripts.ts';
import {
  FIGURES_AGE_MS,
  FREE_FIGURES_AGE_MS,
  REPORT,
  RESERVE,
} from '../../../../src/broker/redis/accounts/home-scripts.ts';
import { brokerErrorOf, NotSentError } from '../../../../src/broker/redis/connection/redis-errors.ts';
import { APPEND } from '../../../../src/broker/redis/commands/append.ts';
import { encodeAppend } from '../../../../src/broker/redis/commands/append-call.ts';
import { countFirst, RECOUNT_MS } from '../../../../src/broker/redis/accounts/recount.ts';
import { TICKET_MS, TICKET_SLACK_MS } from '../../../../src/broker/redis/commands/account-lua.ts';
import type { LiteTopicName } from '../../../../src/broker/lite-topic.ts';
import type { Quota } from '../../../../src/broker/quota.ts';
import { SWEEP_MS } from '../../../../src/broker/redis/partition-sweep.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { eventually } from '../../../support/wait-for.ts';
import { Random } from '../../../worlds/random.ts';
import { accountOf, changeAtRandom, countedUsage, usageOf } from '../../contract/quota.ts';
import { append, infoOf, major, minor, outcome, topicName, write } from '../../contract/subject.ts';
import { AccountStore } from './account-store.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

const ONE = topicName('chat/acme:one');

function make(broker: Broker, name: string, quota: Quota, rest: Partial<TopicWrite> = {}): Promise<string> {
  const made = write(topicName(`chat/acme:${name}`), major('12345'), { expect: { absent: true }, quota, ...rest });
  return outcome(broker.append([made]));
}

const accepted = (outcomes: readonly string[]): number => outcomes.filter((one) => one === 'accepted').length;

describe('a quota over several nodes', () => {
  test('on topics and on creations accepts exactly as many', async () => {
    const accounts = new AccountStore(server);
    const nodes = [await accounts.node(), await accounts.node(), await accounts.node()];
    const names = Array.from({ length: 30 }, (_, i) => `n${i}`);
    const at = (i: number): Broker => nodes[i % 3] as Broker;
    const rate = { creations: { perSecond: 1, burst: 5 } };
    expect(accepted(await Promise.all(names.map((name, i) => make(at(i), name, rate))))).toBe(5);
    await accounts.clock.advance(2000);
    const both = { ...rate, topics: 6 };
    expect(accepted(await Promise.all(names.map((name, i) => make(at(i), `${name}b`, both))))).toBe(1);
    expect(await usageOf(at(0), 'acme')).toEqual({ topics: 6, bytes: 30 });
  });

  test('on bytes accepts no more than fits, and what another node removed at once', async () => {
    const accounts = new AccountStore(server);
    const [one, other] = [await accounts.node(), await accounts.node()];
    const names = Array.from({ length: 12 }, (_, i) => `n${i}`);
    const quota = { bytes: 24 };
    const outcomes = await Promise.all(names.map((name, i) => make(i % 2 === 0 ? one : other, name, quota)));
    expect(accepted(outcomes)).toBe(4);
    const kept = names.find((_, i) => outcomes[i] === 'accepted') ?? '';
    await other.remove(topicName(`chat/acme:${kept}`));
    expect(await make(one, kept, quota)).toBe('accepted');
    expect(await make(one, 'more', quota)).toBe('quota-reached');
  });
});

describe('a node that dies', () => {
  const all = { topics: 1, bytes: 5 };
  const none = { topics: 0, bytes: 0 };
  const steps = [
    ['before', 'its reservation', RESERVE.sha, none, none],
    ['after', 'its reservation', RESERVE.sha, all, none],
    ['before', 'its append', APPEND.sha, all, none],
    ['after', 'its append', APPEND.sha, all, all],
    ['before', 'its report', REPORT.sha, all, all],
    ['after', 'its report', REPORT.sha, all, all],
  ] as const;
  test.each(steps)('%s %s leaves exact figures', async (when, _what, sha, atOnce, later) => {
    const accounts = new AccountStore(server);
    const { broker: dying, proxy } = await accounts.distantNode();
    const survivor = await accounts.node();
    await usageOf(dying, 'acme');
    const matches = (sent: Buffer): boolean => sent.includes(sha);
    const dies = when === 'before' ? proxy.cutBefore(matches) : proxy.cutAfter(matches);
    void dies.then(() => {
      proxy.refuse();
      proxy.cutAll();
    });
    const quota = { topics: 9, bytes: 99 };
    const made = make(dying, 'one', quota);
    await dies;
    await made;
    // A ticket counts until it is over, because its append may still come.
    expect(await usageOf(survivor, 'acme')).toEqual(atOnce);
    await accounts.clock.advance(TICKET_MS + TICKET_SLACK_MS);
    expect(await usageOf(survivor, 'acme')).toEqual(later);
    expect(await accounts.figures('acme')).toEqual(later);
  });

  test('leaves an append that is refused when it comes after the time of its ticket', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    const quota = { topics: 1 };
    const rules = { isKept: true, newEpoch: () => 'e', accountOf: () => 'acme' };
    const ticket = `${accounts.clock.now() - 1}:1:5:x`;
    const late = encodeAppend([write(ONE, major('12345'), { expect: { absent: true }, quota })], rules, {
      ticket,
      known: '0',
    });
    const tag = accounts.store.keys.tag(accounts.store.keys.partitionOf(ONE));
    const reply = await accounts.raw.eval(APPEND.lua, 1, tag, String(accounts.clock.now()), ...late);
    expect(reply).toEqual(['unavailable', expect.any(String)]);
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 0, bytes: 0 });
  });
});

describe('a home', () => {
  test('that is lost is built again from the partitions', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    const quota = { topics: 3, bytes: 1000 };
    for (const name of ['a', 'b', 'c']) await make(broker, name, quota);
    await accounts.loseHome('acme');
    expect(await make(broker, 'd', quota)).toBe('quota-reached');
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 3, bytes: 15 });
  });

  test('learns what workers write within a bound of time, which is longer while half of the quota is free', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    const quota = { bytes: 100 };
    await make(broker, 'one', quota);
    const { epoch } = await infoOf(broker, ONE);
    const other = topicName('chat/acme:other');
    await append(broker, other, minor('x'));
    const prompt = (): Promise<string> =>
      outcome(broker.append([write(ONE, major('1'), { expect: { epoch }, quota })]));
    await append(broker, other, major('y'.repeat(50)));
    await accounts.clock.advance(FREE_FIGURES_AGE_MS);
    expect(await prompt()).toBe('accepted');
    await accounts.clock.advance(1);
    expect(await prompt()).toBe('accepted');
    await append(broker, other, major('y'.repeat(50)));
    await accounts.clock.advance(FIGURES_AGE_MS);
    expect(await prompt()).toBe('accepted');
    await accounts.clock.advance(1);
    expect(await prompt()).toBe('quota-reached');
  });

  test('refuses no write that its topic refuses: the topic says why, and a retry is answered', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    await make(broker, 'one', { topics: 1 });
    expect(await make(broker, 'one', { topics: 1 })).toBe('conflict');
    const quota = { bytes: 0 };
    const changed = write(ONE, major('1'), { expect: { epoch: 'other' }, quota });
    expect(await outcome(broker.append([changed]))).toBe('epoch-changed');
    const { epoch } = await append(broker, ONE, major('fence'), { takeFence: true });
    const fenced = write(ONE, major('1'), { expect: { epoch }, fence: { fence: 1, seq: 1 }, quota: { bytes: 11 } });
    const first = await broker.append([fenced]);
    expect(await broker.append([{ ...fenced, quota }])).toEqual(first);
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 1, bytes: 11 });
  });
});

describe('a partition that is away', () => {
  const quota = { topics: 1 };
  const wanted = write(topicName('chat/acme:two'), major('a'), { expect: { absent: true }, quota });

  async function spendWithout(accounts: AccountStore): Promise<string> {
    const away = (accounts.store.keys.partitionOf(wanted.topic) + 1) % accounts.store.keys.partitions;
    const commands = accounts.commands((script, place) => {
      if (script === COUNT && place === away) throw new BrokerError('unavailable', 'away');
    });
    const quotas = new AccountQuotas(commands, randomEpoch, () => undefined);
    return outcome(quotas.spend('acme', wanted, () => Promise.reject(new BrokerError('quota-reached', 'dry'))));
  }

  test('counts by its last report, and without one nothing is decided', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    expect(await spendWithout(accounts)).toBe('unavailable');
    await make(broker, 'one', quota);
    expect(await spendWithout(accounts)).toBe('quota-reached');
  });
});

test('a write that certainly did not run takes no room, and another one that failed does', async () => {
  const answer = (text: string): Error => Object.assign(new Error(text), { name: 'ReplyError' });
  const notRun = [
    new NotSentError('not connected'),
    brokerErrorOf(answer('CLUSTERDOWN the cluster is down'), 'append'),
  ];
  const unknown = [new Error('closed'), answer('NOREPLICAS too few')].map((error) => brokerErrorOf(error, 'append'));
  const accounts = new AccountStore(server);
  const quotas = new AccountQuotas(
    accounts.commands(() => undefined),
    randomEpoch,
    () => undefined,
  );
  const spend = async (error: BrokerError): Promise<void> => {
    const wanted = write(ONE, major('a'), { expect: { absent: true }, quota: { topics: 9 } });
    expect(await outcome(quotas.spend('acme', wanted, () => Promise.reject(error)))).toBe('unavailable');
  };
  for (const error of notRun) await spend(error);
  await eventually(async () => (await accounts.tickets('acme')) === 0);
  for (const error of unknown) await spend(error);
  expect(await accounts.tickets('acme')).toBe(2);
});

test('a partition that goes back in time counts the topics that it has then', async () => {
  const accounts = new AccountStore(server);
  const broker = await accounts.node();
  const { keys } = accounts.store;
  const elsewhere = Array.from({ length: 40 }, (_, i) => `n${i}`).filter(
    (name) => keys.partitionOf(topicName(`chat/acme:${name}`)) === (keys.homeOf('acme') + 1) % keys.partitions,
  );
  const [first = '', second = '', third = ''] = elsewhere;
  const quota = { topics: 2 };
  await make(broker, first, quota);
  const takeBack = await accounts.remember(topicName(`chat/acme:${first}`));
  await make(broker, second, quota);
  expect(await make(broker, third, quota)).toBe('quota-reached');
  await takeBack();
  expect(await usageOf(broker, 'acme')).toEqual({ topics: 1, bytes: 5 });
  expect(await make(broker, third, quota)).toBe('accepted');
  expect(await make(broker, second, quota)).toBe('quota-reached');
});

describe('a recount', () => {
  test('counts the topics of a store that an earlier version wrote, when the first node starts', async () => {
    const accounts = new AccountStore(server);
    const beside = await changeAtRandom(await accounts.earlierNode(), new Random(5), 20);
    const broker = await accounts.node();
    const usage = await usageOf(broker, 'acme');
    // An earlier version stores no bytes beside.
    for (const topic of beside.keys()) beside.set(topic, 0);
    expect(usage).toEqual(await countedUsage(broker, beside));
    expect(usage.topics).toBeGreaterThan(0);
  });

  test('when a node starts leaves a partition for later whose server is away, and reports other errors', async () => {
    const accounts = new AccountStore(server);
    await append(await accounts.earlierNode(), ONE, major('a'));
    const failing = (code: 'unavailable' | 'failed') =>
      accounts.commands((_script, place) => {
        if (place !== accounts.store.keys.partitionOf(ONE)) throw new BrokerError(code, 'away');
      });
    await expect(countFirst(failing('failed'), accountOf)).rejects.toMatchObject({ code: 'failed' });
    await countFirst(failing('unavailable'), accountOf);
    expect(await accounts.figures('acme')).toEqual({ topics: 1, bytes: 1 });
  });

  test('repairs what a node of an earlier version has changed', async () => {
    const accounts = new AccountStore(server);
    const [broker, earlier] = [await accounts.node(), await accounts.earlierNode()];
    const quota = { topics: 9 };
    for (const name of ['a', 'b', 'c']) await make(broker, name, quota);
    await append(earlier, topicName('chat/acme:d'), major('d'));
    const ended = topicName('chat/acme:a');
    await accounts.forgetCounted(ended);
    await earlier.remove(ended);
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 3, bytes: 15 });
    await accounts.clock.advance(RECOUNT_MS);
    await eventually(async () => {
      await accounts.clock.advance(2 * SWEEP_MS);
      return (await accounts.figures('acme')).bytes === 11;
    });
    expect(await usageOf(broker, 'acme')).toEqual({ topics: 3, bytes: 11 });
  });

  test('in slices changes no figures, whatever is written between them', async () => {
    const accounts = new AccountStore(server);
    const broker = await accounts.node();
    const random = new Random(11);
    const beside = new Map<LiteTopicName, number>();
    for (let step = 0; step < 60; step += 1) {
      await changeAtRandom(broker, random, 1, beside);
      await accounts.recountSlice(random.between(1, 2));
      const usage = await usageOf(broker, 'acme');
      expect(usage).toEqual(await countedUsage(broker, beside));
      expect(await accounts.figures('acme')).toEqual(usage);
    }
  });
});

test('a token of a topic that counts costs Redis no command more than one of a topic that does not', async () => {
  const accounts = new AccountStore(server);
  const broker = await accounts.node();
  const commandsOf = async (name: string): Promise<number> => {
    const topic = topicName(name);
    const { epoch, first } = await append(broker, topic, major('a'), { takeFence: true });
    const token = (seq: number): Promise<unknown> =>
      append(broker, topic, minor('token'), { expect: { epoch }, fence: { fence: first, seq } });
    await token(1);
    await accounts.raw.call('CONFIG', 'RESETSTAT');
    await token(2);
    const stats = await accounts.raw.info('commandstats');
    return [...stats.matchAll(/cmdstat_(\S+):calls=(\d+)/g)].reduce((sum, [, , calls]) => sum + Number(calls), 0);
  };
  expect(await commandsOf('chat/acme:one')).toBe(await commandsOf('chat/one'));
});
