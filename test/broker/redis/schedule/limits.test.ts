// What limits need only on Redis: they hold over all nodes and groups, nodes die, reports come late or twice, and the
// clock of a server jumps. The rules themselves are compared with those in TypeScript in schedule.test.ts.
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FlowPolicy } from '../../../../src/broker/flow-policy.ts';
import { parseTopicPattern, type LiteTopicName } from '../../../../src/broker/lite-topic.ts';
import type { RedisReply } from '../../../../src/broker/redis/connection/redis-commands.ts';
import { RedisKeys } from '../../../../src/broker/redis/keys.ts';
import { GroupSchedule } from '../../../../src/broker/redis/schedule/group-schedule.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { eventually } from '../../../support/wait-for.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { append, major, topicName } from '../../contract/subject.ts';
import { TestWorker, VISIBILITY_MS } from '../../contract/worker.ts';
import { GroupStore } from '../queue/group-store.ts';
import { RedisSchedule } from './redis-schedule.ts';

const [A, B, C] = [topicName('q/a'), topicName('q/b'), topicName('q/c')];
const HOUR_MS = 3_600_000;
const LEASE_MS = 30_000;
/** Until the schedule gives up a ticket. */
const TICKET_MS = LEASE_MS + 5000;

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.close();
});

/** All topics are of the flow `t`, which has this policy. */
async function limited(policy: FlowPolicy, topics: readonly LiteTopicName[] = [A, B, C]): Promise<RedisSchedule> {
  const ours = new RedisSchedule(redis, { flowOf: () => 't', policyOf: (flow) => (flow === 't' ? policy : {}) });
  for (const topic of topics) await ours.add(topic);
  return ours;
}

/** Takes one topic and reports nothing of it, as a node does that dies. Returns its ticket. */
async function takeAndDie(ours: RedisSchedule): Promise<string> {
  const { picked } = await ours.schedule.step(1, [], { leaseMs: LEASE_MS });
  return picked[0]?.ticket ?? '';
}

describe('a limit on deliveries at once', () => {
  test('is still there when the node died that held all of them, and gives its place back once', async () => {
    const ours = await limited({ concurrent: 1 });
    const dead = await takeAndDie(ours);
    await ours.clock.advance(TICKET_MS - 1);
    expect(await ours.take()).toBeUndefined();
    await ours.clock.advance(1);
    expect(await ours.take()).toBe(A);
    // The dead node's report arrives after all.
    for (let i = 0; i < 2; i += 1) {
      ours.schedule.settle(dead, 'served', 100);
      expect(await ours.take()).toBeUndefined();
    }
  });

  test('holds when the only topic of the flow waits again after the node died', async () => {
    const ours = await limited({ concurrent: 1 }, [A]);
    await takeAndDie(ours);
    await ours.clock.advance(TICKET_MS);
    expect(await ours.take()).toBe(A);
    await ours.add(B);
    expect(await ours.take()).toBeUndefined();
  });

  test('of a pool is shared by groups, and its place is offered to the group that has waited longer', async () => {
    const ours = await limited({ concurrent: 1, pool: 'p' }, [A, B]);
    const other = ours.group('other');
    await other.add(C);
    expect(await ours.take()).toBe(A);
    expect(await other.take()).toBeUndefined();
    await ours.clock.advance(1);
    expect(await ours.take()).toBeUndefined();
    await ours.settle(A);
    expect(await ours.take()).toBeUndefined();
    expect(await other.take()).toBe(C);
    await other.settle(C);
    expect(await ours.take()).toBe(B);
  });

  test('of a pool gets back all places of a group whose last node died, however many they are', async () => {
    const topics = Array.from({ length: 250 }, (_, n) => topicName(`q/many:${n}`));
    const ours = await limited({ concurrent: topics.length, pool: 'p' }, topics);
    const other = ours.group('other');
    await other.add(C);
    for (let picked = 0; picked < topics.length;)
      picked += (await ours.schedule.step(32, [], { leaseMs: LEASE_MS })).picked.length;
    expect(await other.take()).toBeUndefined();
    await ours.clock.advance(TICKET_MS - 1);
    await other.schedule.check();
    expect(await other.take()).toBeUndefined();
    await ours.clock.advance(1);
    await other.schedule.check();
    expect(await other.take()).toBe(C);
    const tag = ours.keys.tag(1);
    expect(await redis.hlen(`${tag}:g:g:h`)).toBe(0);
    expect(await redis.zrange(`${tag}:d`, '0', '-1')).toEqual(['other']);
  });

  test('that opens goes to the next group if the first one does not take it', async () => {
    const ours = await limited({ concurrent: 1, pool: 'p' }, [A, B]);
    const other = ours.group('other');
    await other.add(C);
    expect([await ours.take(), await other.take()]).toEqual([A, undefined]);
    await ours.clock.advance(1);
    expect(await ours.take()).toBeUndefined();
    await ours.settle(A);
    await ours.clock.advance(ours.schedule.dueAt - ours.clock.mono());
    expect(await ours.take()).toBe(B);
  });
});

describe('a bucket', () => {
  const policy = { deliveryRate: { perSecond: 0.001, burst: 1 } };

  test('gets back once what a node took that died before it leased', async () => {
    const ours = await limited(policy);
    const dead = await takeAndDie(ours);
    await ours.clock.advance(TICKET_MS);
    expect(await ours.take()).toBe(A);
    ours.schedule.settle(dead, 'unused');
    expect(await ours.take()).toBeUndefined();
  });

  test('is not full again for a node that starts', async () => {
    const store = new GroupStore(server);
    const first = await store.node();
    for (let i = 0; i < 3; i += 1) await append(first, topicName(`request/x/slowr1:${i}`), major('r'));
    const worker = new TestWorker(first, { credit: 5 });
    await (await worker.next()).ack();
    await first.close();
    const again = await store.node();
    for (let i = 0; i < 3; i += 1) await append(again, topicName(`request/x/free:${i}`), major('r'));
    const other = new TestWorker(again, { credit: 5 });
    for (let i = 0; i < 3; i += 1) expect((await other.next()).topic).toBe(`request/x/free:${i}`);
    const next = other.next();
    await store.clock.advance(1000);
    await next;
  });

  test('neither closes for an hour nor fills twice when the server’s clock jumps there and back', async () => {
    const ours = await limited(policy);
    expect(await ours.take()).toBe(A);
    ours.clock.jumpWall(HOUR_MS);
    expect(await ours.take()).toBe(B);
    ours.clock.jumpWall(-HOUR_MS);
    expect(await ours.take()).toBeUndefined();
    await ours.clock.advance(999_999);
    expect(await ours.take()).toBeUndefined();
    await ours.clock.advance(1);
    expect(await ours.take()).toBe(C);
  });

  test('is forgotten when it is full', async () => {
    const ours = await limited(policy, [A]);
    await ours.take();
    await ours.settle(A);
    expect(await redis.hlen(`${ours.keys.tag(1)}:l`)).toBe(1);
    await ours.clock.advance(1_000_000);
    await ours.schedule.step(0, []);
    expect(await redis.hlen(`${ours.keys.tag(1)}:l`)).toBe(0);
  });
});

test('a message that a limit opens is not lost when it comes during a step', async () => {
  const clock = new ManualClock();
  let answer: (reply: RedisReply) => void = () => undefined;
  const commands = {
    clock,
    keys: new RedisKeys('p', 1),
    run: () => new Promise<RedisReply>((resolve) => (answer = resolve)),
    subscribe: () => ({ close: () => undefined }),
  };
  const schedule = new GroupSchedule(commands, 'g', { flowOf: () => '', policyOf: () => ({}) });
  const step = schedule.step(0, []);
  schedule.due(0);
  answer([-1, [], [], [], []]);
  await step;
  expect(schedule.dueAt).toBe(clock.mono());
});

test('a node that is closed gives back the places of all its leases, however many they are', async () => {
  const store = new GroupStore(server);
  const node = await store.node();
  const topics = Array.from({ length: 600 }, (_, n) => topicName(`request/x/allc600:${n}`));
  await Promise.all(topics.map((topic) => append(node, topic, major('r'))));
  await new TestWorker(node, { credit: topics.length }).take(topics.length);
  await node.close();
  expect(await redis.zcard(`{${store.prefix}:s}:g:agents:d`)).toBe(0);
});

describe('an idle node', () => {
  test('is notified when a place opens that another node held, and when a bucket does', async () => {
    const store = new GroupStore(server);
    const [one, two] = [await store.node(), await store.node()];
    for (let i = 0; i < 2; i += 1) await append(one, topicName(`request/x/capc1:${i}`), major('r'));
    const busy = new TestWorker(one, { credit: 1 });
    const first = await busy.next();
    const idle = new TestWorker(two, { credit: 5 });
    const second = idle.next();
    await eventually(() => store.isHeard());
    expect(await first.ack()).toBe(true);
    expect(await (await second).ack()).toBe(true);
  });

  test('gets the place of a node that died as the last one of another group', async () => {
    const store = new GroupStore(server);
    const { broker: dying, proxy } = await store.distantNode();
    const writer = await store.node();
    for (const agent of ['retired', 'x']) await append(writer, topicName(`request/${agent}/capc1:0`), major('r'));
    await new TestWorker(dying, { group: 'retired', pattern: parseTopicPattern('request/retired/*') }).next();
    proxy.refuse();
    proxy.cutAll();
    const worker = new TestWorker(writer, { pattern: parseTopicPattern('request/x/*') });
    let coming: string | undefined;
    const next = worker.next().then(({ topic }) => (coming = topic));
    await store.clock.advance(VISIBILITY_MS - 1000);
    expect(coming).toBeUndefined();
    await store.clock.advance(6000);
    await store.clock.advance(20_000);
    expect(await next).toBe('request/x/capc1:0');
  });

  test('gets the place of a node that died, and no more', async () => {
    const store = new GroupStore(server);
    const { broker: dying, proxy } = await store.distantNode();
    const writer = await store.node();
    for (let i = 0; i < 3; i += 1) await append(writer, topicName(`request/x/capc1:${i}`), major('r'));
    await new TestWorker(dying, { credit: 1 }).next();
    proxy.refuse();
    proxy.cutAll();
    const worker = new TestWorker(writer, { credit: 5 });
    const coming: unknown[] = [];
    const follow = async (): Promise<void> => {
      for (;;) coming.push(await worker.next());
    };
    follow().catch(() => undefined);
    await store.clock.advance(VISIBILITY_MS - 1000);
    expect(coming).toHaveLength(0);
    await store.clock.advance(20_000);
    await eventually(() => coming.length === 1);
    await store.clock.advance(5000);
    expect(coming).toHaveLength(1);
  });
});
