// The size of the index file of the embedded engine, and what a compacted copy of it would take: after many chats were
// made, after they were removed, when their tombstones are gone, and when as many chats were made again.
//   npm run build:load && node dist-load/load/index-size.js [chats=100000]
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { open, type RootDatabase } from 'lmdb';
import { systemClock, type Clock } from '../src/base/clock.ts';
import { TOMBSTONE_MS, type BrokerEngine } from '../src/broker/broker.ts';
import { parseLiteTopicName, type LiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';

const chats = Number(process.argv[2] ?? 100_000);
const AT_ONCE = 1000;
const MIB = 1024 * 1024;
/** Time for the sweep that drops tombstones. */
const SWEEP_MS = 8000;
const folder = await mkdtemp(join(tmpdir(), 'holdline-index-'));
let ahead = 0;
const clock: Clock = {
  now: () => systemClock.now() + ahead,
  mono: () => systemClock.mono() + ahead,
  after: (ms, callback) => systemClock.after(ms, callback),
};

function start(): Promise<BrokerEngine> {
  const fsync = { mode: 'os' } as const;
  return openBroker({ engine: 'log', folder, fsync, clock, isClockTrusted: true, onFatal: console.error });
}

async function forAll(round: number, work: (topic: LiteTopicName) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < chats; i += AT_ONCE) {
    const names = Array.from({ length: AT_ONCE }, (_, j) => `chat/default:0123456789abcdef:${round}-${i + j}`);
    await Promise.all(names.map((name) => work(parseLiteTopicName(name))));
  }
}

async function measure(when: string): Promise<void> {
  const root: RootDatabase = open({ path: join(folder, 'index'), noSubdir: false, maxDbs: 8 });
  const copy = join(folder, 'copy');
  await mkdir(copy);
  const begun = performance.now();
  await root.backup(copy, true);
  const ms = Math.round(performance.now() - begun);
  await root.close();
  const mib = async (path: string): Promise<number> => Math.round(((await stat(path)).size / MIB) * 10) / 10;
  const [fileMib, compactMib] = [await mib(join(folder, 'index', 'data.mdb')), await mib(join(copy, 'data.mdb'))];
  console.log(JSON.stringify({ when, fileMib, compactMib, ms }));
  await rm(copy, { recursive: true });
}

async function step(when: string, work: (broker: BrokerEngine) => Promise<unknown>): Promise<void> {
  const broker = await start();
  await work(broker);
  await broker.close();
  await measure(when);
}

const make = (broker: BrokerEngine, round: number): Promise<void> =>
  forAll(round, (topic) =>
    broker.append([{ topic, expect: { create: true }, records: [{ major: true, data: 'x'.repeat(100) }] }]),
  );
await step('made', (broker) => make(broker, 0));
await step('removed', (broker) => forAll(0, (topic) => broker.remove(topic)));
ahead = 2 * TOMBSTONE_MS;
await step('tombstones gone', () => sleep(SWEEP_MS));
await step('made again', (broker) => make(broker, 1));
await rm(folder, { recursive: true });
