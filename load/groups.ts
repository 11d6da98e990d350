// What a delivery of a group costs on Redis (`appendfsync always`) or on the embedded engine, and how soon many topics
// that become ready at once are delivered. Every delivery is charged and acknowledged. Four measurements, each on keys
// or in a folder of its own:
//  - backlog: 10,000 topics wait, then one consumer with 32 deliveries at once takes them: deliveries a second, and the
//    CPU of Redis and of this process for each
//  - consumers: the same with 16 consumers in this process
//  - ready: consumers wait, and 10,000 topics become ready: ms from the last append to the last delivery
//  - turns: 10,000 topics of one tenant wait, then 10 of another come: which delivery is the first and the last of the
//    10
//   npm run build:load && node dist-load/load/groups.js [topics=10000] [redis|log]
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine, Delivery } from '../src/broker/broker.ts';
import type { LiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import { flowOf, requestPattern, requestTopic, sessionOf } from '../src/session/topic-names.ts';
import { RedisProcess } from './redis-process.ts';

const topics = Number(process.argv[2] ?? 10_000);
const engine = process.argv[3] ?? 'redis';
const SMALL = 10;
const TENANTS = 100;
const CONSUMERS = 16;
const CREDIT = 32;
const TOKENS = 500;
const RECORDS = [{ major: true, data: JSON.stringify({ type: 'request', runId: 'r'.repeat(21) }) }];
const GROUP = 'workers:a';
const PATTERN = requestPattern('a', 0);

/** Consumers that acknowledge each delivery at once, until `onDelivery` answers true. */
async function consume(
  broker: BrokerEngine,
  { consumers, credit }: { readonly consumers: number; readonly credit: number },
  onDelivery: (delivery: Delivery) => boolean,
): Promise<void> {
  const abort = new AbortController();
  setMaxListeners(consumers + 1, abort.signal);
  const acks = new Set<Promise<unknown>>();
  const consuming = Array.from({ length: consumers }, async () => {
    const options = { credit, visibilityMs: 60_000, signal: abort.signal };
    for await (const delivery of broker.consume(GROUP, PATTERN, options)) {
      delivery.charge(TOKENS);
      const ack = delivery.ack().finally(() => acks.delete(ack));
      acks.add(ack);
      if (onDelivery(delivery)) abort.abort();
    }
  });
  await Promise.all(consuming);
  await Promise.all(acks);
}

function names(tenant: (i: number) => string, count: number): LiteTopicName[] {
  return Array.from({ length: count }, (_, i) => requestTopic('a', { tenant: tenant(i), sessionId: `s${i}` }));
}

async function fill(broker: BrokerEngine, all: readonly LiteTopicName[]): Promise<void> {
  await Promise.all(all.map((topic) => broker.append([{ topic, expect: { create: true }, records: RECORDS }])));
}

/** The group is known before the topics come, so that nothing of what follows is the search for earlier topics. */
async function known(broker: BrokerEngine): Promise<void> {
  const coming = consume(broker, { consumers: 1, credit: 1 }, () => true);
  await fill(broker, [requestTopic('a', { tenant: 'first', sessionId: 'first' })]);
  await coming;
}

async function work(broker: BrokerEngine, consumers: number, credit: number): Promise<void> {
  let left = topics;
  await consume(broker, { consumers, credit }, () => (left -= 1) === 0);
}

async function backlog(
  redisMs: () => number,
  broker: BrokerEngine,
  consumers: number,
  credit: number,
): Promise<string> {
  await known(broker);
  await fill(
    broker,
    names((i) => `t${i % TENANTS}`, topics),
  );
  const [redisCpu, nodeCpu, begun] = [redisMs(), process.cpuUsage(), performance.now()];
  await work(broker, consumers, credit);
  const wallMs = performance.now() - begun;
  const { user, system } = process.cpuUsage(nodeCpu);
  const redisUs = ((redisMs() - redisCpu) * 1000) / topics;
  return `${Math.round((topics / wallMs) * 1000)} deliveries/s, ${Math.round(redisUs)} us of Redis and ${Math.round((user + system) / topics)} us of the node each`;
}

async function ready(broker: BrokerEngine): Promise<string> {
  await known(broker);
  const done = work(broker, CONSUMERS, 1);
  await fill(
    broker,
    names((i) => `t${i % TENANTS}`, topics),
  );
  const written = performance.now();
  await done;
  return `the last of ${topics} topics came ${Math.round(performance.now() - written)} ms after the last append`;
}

async function turns(broker: BrokerEngine): Promise<string> {
  await known(broker);
  await fill(
    broker,
    names(() => 'large', topics),
  );
  await fill(
    broker,
    names(() => 'small', SMALL),
  );
  const at: number[] = [];
  let count = 0;
  await consume(broker, { consumers: 1, credit: 1 }, ({ topic }) => {
    count += 1;
    if (sessionOf(topic).tenant === 'small') at.push(count);
    return at.length === SMALL;
  });
  return `deliveries of the small tenant: first ${at[0]}, last ${at.at(-1)}`;
}

const server = engine === 'redis' ? await RedisProcess.start('always') : undefined;
const redisMs = (): number => server?.cpuMs() ?? 0;
const folders = await mkdtemp(join(tmpdir(), 'holdline-load-groups-'));
let stores = 0;

function open(): Promise<BrokerEngine> {
  stores += 1;
  const onError = (error: unknown): void => console.error(error);
  if (server === undefined) {
    const folder = join(folders, `${stores}`);
    return openBroker({ engine: 'log', flowOf, folder, fsync: { mode: 'always' }, onFatal: onError });
  }
  return openBroker({
    ...{ engine: 'redis', flowOf, nodes: [server.url], promise: 'always' },
    ...{ prefix: `groups-${stores}`, onError },
  });
}

async function measured(what: string, measure: (broker: BrokerEngine) => Promise<string>): Promise<void> {
  const broker = await open();
  console.log(`${what}: ${await measure(broker)}`);
  await broker.close();
}

try {
  await measured(`one consumer with ${CREDIT}`, (broker) => backlog(redisMs, broker, 1, CREDIT));
  await measured(`${CONSUMERS} consumers with 1`, (broker) => backlog(redisMs, broker, CONSUMERS, 1));
  await measured('ready at once', ready);
  await measured('turns', turns);
} finally {
  await server?.stop();
  await rm(folders, { recursive: true });
}
