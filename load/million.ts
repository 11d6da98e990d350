// A million topics on one embedded engine: create them, leave them, start, list, touch, kill, expire. Each scenario is a
// process of its own (million-engine.ts). Prints the figures of each phase and keeps them in load/results. Then the bytes
// that an idle topic takes in Redis.
//   npm run build:load && node dist-load/load/million.js [topics=100000] [results file]
// LOAD_PROFILE=<folder> keeps a CPU profile of every process that ends by itself.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { parseLiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import type { Report, Scenario } from './million-engine.ts';
import { LONG_TURN_MS, type Held, type PhaseFigures } from './phase-meter.ts';
import { RedisProcess } from './redis-process.ts';
import { describeRun, keepResults } from './results.ts';
import { NODE_OPTIONS, PROFILE } from './server-process.ts';

const MIB = 1024 * 1024;
const REDIS_TOPICS_MAX = 100_000;
const REDIS_WRITERS = 256;
const REDIS_SCAN = 1000;
/** The longest name of a phase. */
const PHASE_CHARS = 22;

interface HeldFigures {
  readonly what: string;
  readonly heapMiB: number;
  readonly externalMiB: number;
  readonly rssMiB: number;
  /** More than the engine on an empty folder holds, for each topic. */
  readonly heapBytesPerTopic: number;
}

interface Figures {
  readonly topics: number;
  readonly phases: PhaseFigures[];
  readonly held: HeldFigures[];
  /** Topics that a list found. */
  readonly found: Record<string, number>;
  readonly diskMiB: Record<string, { readonly log: number; readonly index: number }>;
  readonly failures: string[];
}

const topics = Number(process.argv[2] ?? 100_000);
if (!Number.isInteger(topics) || topics < 1) throw new Error('topics is a number of topics');
const figures: Figures = { topics, phases: [], held: [], found: {}, diskMiB: {}, failures: [] };
let empty: Held | undefined;
// First: the working copy may move while the measurement runs.
const run = describeRun();

await withFolder(async (folder) => {
  for (const scenario of ['create', 'serve', 'absent'] as const) await runScenario(scenario, folder);
});
await withFolder(async (folder) => {
  for (const scenario of ['write', 'expire'] as const) await runScenario(scenario, folder);
});
const redis = await redisBytes(Math.min(topics, REDIS_TOPICS_MAX));
console.log(JSON.stringify({ redis }));
printTurns(figures.phases);
keepResults({ ...run, ...figures, redis }, `-million-${topics}`, process.argv[3]);

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-million-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runScenario(scenario: Scenario, folder: string): Promise<void> {
  const profile = PROFILE === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', PROFILE, '--cpu-prof-name'];
  const name = PROFILE === undefined ? [] : [`million-${scenario}.cpuprofile`];
  const child = fork(new URL('million-engine.js', import.meta.url), [scenario, folder, String(topics)], {
    execArgv: [...NODE_OPTIONS, '--expose-gc', ...profile, ...name],
  });
  child.on('message', (message) => take(message as Report, child));
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (code !== 0 && signal !== 'SIGKILL') fail(`${scenario} ended with ${code ?? signal}`);
  figures.diskMiB[scenario] = { log: bytesIn(join(folder, 'log')), index: bytesIn(join(folder, 'index')) };
}

function take(report: Report, child: ChildProcess): void {
  if (report.kind === 'written') child.kill('SIGKILL');
  else if (report.kind === 'failed') fail(report.what);
  else if (report.kind === 'phase') {
    figures.phases.push(report.figures);
    console.log(JSON.stringify(report.figures));
  } else if (report.kind === 'found') {
    figures.found[report.what] = report.topics;
    console.log(JSON.stringify({ [report.what]: report.topics }));
  } else {
    empty ??= report.held;
    const one = heldFigures(report.what, report.held, report.topics);
    figures.held.push(one);
    console.log(JSON.stringify(one));
  }
}

/** One line a phase: what the program did in its longest turn, and beside it the longest pause of the collector. */
function printTurns(phases: readonly PhaseFigures[]): void {
  const columns = [
    'longest turn, ms of CPU without GC',
    'with GC',
    `turns > ${LONG_TURN_MS} ms without GC`,
    'longest GC, ms',
  ];
  const rows = phases.map((one) => [
    one.phase,
    ...[one.longestTurnWithoutGcMs, one.longestTurnCpuMs, one.longTurnsWithoutGc, one.longestGcMs],
  ]);
  for (const row of [['phase', ...columns], ...rows])
    console.log(row.map((cell, at) => String(cell).padEnd((columns[at - 1]?.length ?? PHASE_CHARS) + 2)).join(''));
  const most = Math.max(...phases.map(({ longestTurnWithoutGcMs }) => longestTurnWithoutGcMs));
  console.log(`longest turn of all phases without GC: ${most} ms (the bound is ${LONG_TURN_MS} ms)`);
}

function heldFigures(what: string, { heapBytes, externalBytes, rssBytes }: Held, many: number): HeldFigures {
  return {
    what,
    heapMiB: mib(heapBytes),
    externalMiB: mib(externalBytes),
    rssMiB: mib(rssBytes),
    heapBytesPerTopic: many === 0 ? 0 : Math.round((heapBytes - (empty?.heapBytes ?? 0)) / many),
  };
}

function fail(what: string): void {
  figures.failures.push(what);
  console.error(what);
  process.exitCode = 1;
}

/** MiB that the device holds for the files of a folder. */
function bytesIn(folder: string): number {
  return mib(readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0));
}

function mib(bytes: number): number {
  return Number((bytes / MIB).toFixed(1));
}

/** `usedMemory`: by which Redis grew; `memoryUsage`: the sum over all its keys. Both for each topic. */
async function redisBytes(many: number): Promise<Record<string, number>> {
  const server = await RedisProcess.start('always');
  const client = new Redis(server.url);
  try {
    const broker = await openBroker({
      ...{ engine: 'redis', nodes: [server.url], promise: 'always' },
      onError: (error) => fail(String(error)),
    });
    const before = await usedMemory(client);
    const begun = performance.now();
    let next = 0;
    const writers = Array.from({ length: REDIS_WRITERS }, async () => {
      while (next < many) {
        const topic = parseLiteTopicName(`chat/${String(next++).padStart(7, '0')}`);
        const records = [{ major: true, data: '{"type":"prompt","text":"hello"}' }];
        await broker.append([{ topic, expect: { create: true }, records, ttlMs: 2_400_000 }]);
      }
    });
    await Promise.all(writers);
    const seconds = (performance.now() - begun) / 1000;
    const usedMemoryBytes = Math.round(((await usedMemory(client)) - before) / many);
    const memoryUsageBytes = Math.round((await sumOfKeys(client)) / many);
    await broker.close();
    return { topics: many, createdPerSecond: Math.round(many / seconds), usedMemoryBytes, memoryUsageBytes };
  } finally {
    client.disconnect();
    await server.stop();
  }
}

async function usedMemory(client: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
}

async function sumOfKeys(client: Redis): Promise<number> {
  let sum = 0;
  for (let cursor = '0'; ;) {
    const [after, keys] = await client.scan(cursor, 'COUNT', REDIS_SCAN);
    const pipeline = client.pipeline();
    for (const key of keys) pipeline.memory('USAGE', key, 'SAMPLES', 0);
    for (const [error, bytes] of (await pipeline.exec()) ?? []) {
      if (error !== null) throw error;
      sum += Number(bytes);
    }
    if (after === '0') return sum;
    cursor = after;
  }
}
