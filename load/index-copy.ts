// What the copy of the index costs, and what it gives back: its size beside the index, the start of a server, the check
// of every page before a start, and a start that makes a damaged index again, all for many chats of one record.
//   npm run build:load && node dist-load/load/index-copy.js [chats=100000]
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import type { BrokerEngine } from '../src/broker/broker.ts';
import { parseLiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';

const chats = Number(process.argv[2] ?? 100_000);
const AT_ONCE = 1000;
const MIB = 1024 * 1024;
const HEADS_BYTES = 8192;
const folder = await mkdtemp(join(tmpdir(), 'holdline-copy-'));

function start(): Promise<BrokerEngine> {
  const fsync = { mode: 'os' } as const;
  return openBroker({ engine: 'log', folder, fsync, clock: systemClock, onFatal: console.error });
}

async function timed<T>(what: string, act: () => Promise<T>): Promise<T> {
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const result = await act();
  const { user, system } = process.cpuUsage(cpu);
  console.log(
    JSON.stringify({ what, ms: Math.round(performance.now() - begun), cpuMs: Math.round((user + system) / 1000) }),
  );
  return result;
}

async function mib(...path: string[]): Promise<number> {
  return Math.round(((await stat(join(folder, ...path))).size / MIB) * 10) / 10;
}

const first = await start();
await timed('make', async () => {
  for (let i = 0; i < chats; i += AT_ONCE) {
    const names = Array.from({ length: AT_ONCE }, (_, j) =>
      parseLiteTopicName(`chat/default:0123456789abcdef:${i + j}`),
    );
    const records = [{ major: true, data: 'x'.repeat(100) }];
    await Promise.all(names.map((topic) => first.append([{ topic, expect: { create: true }, records }])));
  }
});
await first.close();
console.log(JSON.stringify({ chats, indexMib: await mib('index', 'data.mdb'), copyMib: await mib('index.copy') }));
const second = await timed('start', start);
await timed('check of every page', async () => second.checkIndex?.());
await second.close();
const file = await open(join(folder, 'index', 'data.mdb'), 'r+');
await file.write(Buffer.alloc(HEADS_BYTES), 0, HEADS_BYTES, 0);
await file.close();
const third = await timed('start with a damaged index', start);
await third.close();
await rm(folder, { recursive: true });
