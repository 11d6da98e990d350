// What one token costs an engine: appends per second and CPU per append, with 1,000 topics that each get 20 small
// records a second, one live reader per topic; embedded with mode always, on a real folder, or on a Redis that keeps
// the promise `always`. Prints one line of JSON.
//   npm run build:load && node dist-load/load/append.js [topics=1000] [perSecond=20] [seconds=10] [redis:// URL]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseLiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';

const [topics = 1000, perSecond = 20, seconds = 10] = process.argv.slice(2, 5).map(Number);
const url = process.argv[5];
const WARM_UP_MS = 2000;
const TICK_MS = 10;
const RECORDS = [{ major: false, data: '{"type":"delta","part":0,"text":" token"}' }];

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const broker = await (url === undefined
    ? openBroker({ engine: 'log', folder, fsync: { mode: 'always' }, onFatal: (error) => console.error(error) })
    : openBroker({ engine: 'redis', nodes: [url], promise: 'always', onError: (error) => console.error(error) }));
  const names = Array.from({ length: topics }, (_, i) => parseLiteTopicName(`chat/${String(i).padStart(6, '0')}`));
  const created = await Promise.all(
    names.map((topic) =>
      broker.append([{ topic, expect: { create: true }, records: [{ major: true, data: 'ask' }], ttlMs: 3_600_000 }]),
    ),
  );
  const lives = created.map((answers) => answers[0]?.epoch ?? '');
  const abort = new AbortController();
  const delivered = { records: 0 };
  const readers = names.map(async (name, i) => {
    for await (const result of broker.tail(name, { epoch: lives[i] ?? '', offset: 1 }, { signal: abort.signal })) {
      if (result.kind === 'batch') delivered.records += result.items.length;
    }
  });
  const latencies: number[] = [];
  let [done, failed, next] = [0, 0, 0];
  const appendOne = (): void => {
    const at = next++ % topics;
    const begun = performance.now();
    broker
      .append([
        { topic: names[at] ?? parseLiteTopicName('chat/x'), expect: { epoch: lives[at] ?? '' }, records: RECORDS },
      ])
      .then(
        () => {
          done += 1;
          if (done % 16 === 0) latencies.push(performance.now() - begun);
        },
        () => (failed += 1),
      );
  };
  const run = async (ms: number): Promise<void> => {
    const begun = performance.now();
    for (let given = 0; performance.now() - begun < ms;) {
      const wanted = Math.floor(((performance.now() - begun) / 1000) * topics * perSecond);
      for (; given < wanted; given++) appendOne();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  };
  await run(WARM_UP_MS);
  [done, failed, latencies.length, delivered.records] = [0, 0, 0, 0];
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await run(seconds * 1000);
  const wall = performance.now() - begun;
  const used = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(2));
  console.log(
    JSON.stringify({
      topics,
      perSecond,
      seconds,
      appendsPerSecond: Math.round(done / (wall / 1000)),
      deliveredPerSecond: Math.round(delivered.records / (wall / 1000)),
      failed,
      cpuMicrosPerAppend: Number(((used.user + used.system) / done).toFixed(1)),
      cores: Number(((used.user + used.system) / 1000 / wall).toFixed(2)),
      latencyMs: { p50: at(0.5), p99: at(0.99), max: at(0.999999) },
      rssMiB: Math.round(process.memoryUsage().rss / 1024 / 1024),
    }),
  );
  abort.abort();
  await Promise.all(readers);
  await broker.close();
  await rm(folder, { recursive: true });
}

await main();
