// What accounts and quotas cost Redis: µs of its main thread for one token (a fenced minor record) and one major record
// of topics that count for no account, of topics that do, and for one record that names a quota. All kinds by turns on
// one Redis, in blocks; prints the median and the lower quartile of the blocks.
//   npm run build:load && node dist-load/load/quotas.js [blocks=40]
import { Redis } from 'ioredis';
import type { TopicWrite } from '../src/broker/broker.ts';
import { parseLiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import { accountOf } from '../src/session/topic-names.ts';
import { quantile } from './sse-client.ts';
import { RedisProcess } from './redis-process.ts';

const [blocks = 40] = process.argv.slice(2, 3).map(Number);
const TOPICS = 64;
const BLOCK = 20 * TOPICS;
const TOKEN = [{ major: false, data: '{"type":"delta","part":0,"text":" token"}' }];
const MAJOR = [{ major: true, data: 'x'.repeat(300) }];

const server = await RedisProcess.start('everysec');
const options = {
  engine: 'redis',
  nodes: [server.url],
  promise: 'everysec',
  accountOf,
  onError: console.error,
} as const;
const broker = await openBroker(options);
const redis = new Redis(server.url);

async function cpuMicros(): Promise<number> {
  const text = await redis.info('cpu');
  const secondsOf = (what: string): number =>
    Number(new RegExp(`used_cpu_${what}_main_thread:([0-9.]+)`).exec(text)?.[1]);
  return (secondsOf('user') + secondsOf('sys')) * 1e6;
}

type Append = (i: number) => Promise<unknown>;

/** Appends to topics of that parent; each append goes to the next topic. */
async function appender(parent: string, id: string, rest: Partial<TopicWrite>): Promise<Append> {
  const topics = await Promise.all(
    Array.from({ length: TOPICS }, async (_, i) => {
      const topic = parseLiteTopicName(`${parent}/acme:${id}${i}`);
      const records = [{ major: true, data: 'made' }];
      const [made] = await broker.append([
        { topic, records, expect: { create: true }, takeFence: true, ttlMs: 3_600_000 },
      ]);
      return { topic, epoch: made?.epoch ?? '', fence: made?.first ?? 0, seq: 0 };
    }),
  );
  return (i) => {
    const one = topics[i % TOPICS];
    if (one === undefined) throw new RangeError('no topic');
    const fence = { fence: one.fence, seq: (one.seq += 1) };
    return broker.append([{ topic: one.topic, records: TOKEN, expect: { epoch: one.epoch }, fence, ...rest }]);
  };
}

async function block(append: Append): Promise<number> {
  const before = await cpuMicros();
  for (let i = 0; i < BLOCK; i += TOPICS) await Promise.all(Array.from({ length: TOPICS }, (_, k) => append(i + k)));
  return ((await cpuMicros()) - before) / BLOCK;
}

const quota = { topics: 1_000_000, bytes: 1e12 };
const kinds: Readonly<Record<string, Append>> = {
  tokenWithoutAccount: await appender('response', 'a', {}),
  tokenOfAccount: await appender('chat', 'b', {}),
  majorWithoutAccount: await appender('response', 'c', { records: MAJOR }),
  majorOfAccount: await appender('chat', 'd', { records: MAJOR }),
  majorWithQuota: await appender('chat', 'e', { records: MAJOR, quota }),
};
const costs = Object.keys(kinds).map((name) => ({ name, micros: [] as number[] }));
for (let round = 0; round < blocks; round += 1) {
  for (const { name, micros } of costs) micros.push(await block(kinds[name] ?? (() => Promise.resolve())));
}
for (const { name, micros } of costs) {
  micros.sort((a, b) => a - b);
  console.log(`${name}: median ${quantile(micros, 0.5)}, lower quartile ${quantile(micros, 0.25)}`);
}
await broker.close();
redis.disconnect();
await server.stop();
