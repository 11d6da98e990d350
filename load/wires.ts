// What the wires of stock clients cost beside the native one: N chats, each streaming R tokens a second to one reader,
// over each wire in turn, and the native wire before and after them, because a machine that others share gets slower and
// faster within minutes. Gives the CPU of the server for each delivered token, as a ratio to the mean of the two native
// measurements. Then native streams while a process of its own sends requests with bodies of 4 MiB to /api/chat, one
// after another: the longest gap between two tokens of a stream, and the longest turn of the server's event loop in ms of
// CPU, with and without collections; and the same before without the bodies. Each answer is checked: its tokens rise
// without a gap. With `gaps` the wires are not compared.
//   npm run build:load && taskset -c 1 node dist-load/load/wires.js [chats=150] [perSecond=20] [seconds=10] [gaps]
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRun, keepResults } from './results.ts';
import type { SentBodies } from './body-sender.ts';
import { sendBodies } from './scenarios/sent-bodies.ts';
import { ServerProcess, withServer } from './server-process.ts';
import { quantile } from './sse-client.ts';
import { WireStream, WIRES_UNDER_LOAD, type WireUnderLoad, type WireStats } from './scenarios/wire-stream.ts';

const WARM_UP_MS = 2000;

export interface WireFigures {
  readonly wire: string;
  readonly tokensPerSecond: number;
  readonly cpuMicrosPerToken: number;
  readonly bytesPerToken: number;
  readonly ageP50Ms: number;
  readonly ageP99Ms: number;
  readonly violations: number;
}

export interface GapFigures {
  /** How many requests with a large body were answered with this status. */
  readonly bodies: Readonly<Record<string, number>>;
  readonly longestGapMs: number;
  readonly ageP99Ms: number;
  readonly longestTurnCpuMs: number;
  readonly longestTurnWithoutGcMs: number;
  readonly longestGcMs: number;
}

export interface WiresResult {
  readonly chats: number;
  readonly rate: number;
  readonly native: readonly [before: WireFigures, after: WireFigures];
  readonly wires: readonly (WireFigures & { readonly cpuRatio: number })[];
  /** Streams alone, and while large bodies are parsed. */
  readonly gaps: readonly [alone: GapFigures, meanwhile: GapFigures];
}

/** @throws Error if an answer is refused */
export async function wires(load: Load): Promise<WiresResult> {
  const [native, ...others] = wiresUnderLoad();
  const before = await measure(native, load);
  const measured: WireFigures[] = [];
  for (const wire of others) measured.push(await measure(wire, load));
  const after = await measure(native, load);
  const micros = (before.cpuMicrosPerToken + after.cpuMicrosPerToken) / 2;
  const ratioOf = (one: WireFigures): number => Number((one.cpuMicrosPerToken / micros).toFixed(2));
  return {
    chats: load.chats,
    rate: load.rate,
    native: [before, after],
    wires: measured.map((one) => ({ ...one, cpuRatio: ratioOf(one) })),
    gaps: await measureGaps(load),
  };
}

function wiresUnderLoad(): readonly [native: WireUnderLoad, ...others: WireUnderLoad[]] {
  const [native, ...others] = WIRES_UNDER_LOAD;
  if (native === undefined) throw new Error('there is no native wire');
  return [native, ...others];
}

/** Streams alone, and while large bodies are parsed. */
async function measureGaps(load: Load): Promise<[alone: GapFigures, meanwhile: GapFigures]> {
  const secret = randomBytes(32).toString('hex');
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const env = { LOAD_SECRET: secret, LOAD_TURNS: '1' };
  const server = await ServerProcess.start('clock-server', [folder], { env });
  const { port } = server;
  const { seconds } = load;
  const [native] = wiresUnderLoad();
  try {
    const streams = await openAll(server, native, load);
    await pause(WARM_UP_MS);
    // The first bodies are parsed by code that is not compiled yet.
    await sendBodies({ port, secret, wire: 'ai-sdk', shape: undefined, seconds: WARM_UP_MS / 1000 });
    const alone = await gaps(server, streams, seconds);
    const meanwhile = await gaps(server, streams, seconds, () =>
      sendBodies({ port, secret, wire: 'ai-sdk', shape: undefined, seconds }),
    );
    for (const stream of streams) stream.close();
    return [alone, meanwhile];
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Load {
  readonly chats: number;
  readonly rate: number;
  readonly seconds: number;
}

async function openAll(server: ServerProcess, wire: WireUnderLoad, load: Load): Promise<WireStream[]> {
  const total = load.rate * Math.ceil(load.seconds * 3 + WARM_UP_MS / 1000 + 60);
  const streams: WireStream[] = [];
  for (let i = 0; i < load.chats; i += 1) {
    const stream = await WireStream.open(server, wire, `s${i}`, `say ${total} at ${load.rate}/s`);
    streams.push(stream);
  }
  return streams;
}

/** The sums of all streams since the last call. */
function take(streams: readonly WireStream[]): WireStats {
  const sum: WireStats = { tokens: 0, bytes: 0, violations: 0, ages: [], longestGapMs: 0 };
  for (const stream of streams) {
    const stats = stream.take();
    sum.tokens += stats.tokens;
    sum.bytes += stats.bytes;
    sum.violations += stats.violations;
    for (const age of stats.ages) sum.ages.push(age);
    sum.longestGapMs = Math.max(sum.longestGapMs, stats.longestGapMs);
  }
  sum.ages.sort((a, b) => a - b);
  return sum;
}

function measure(wire: WireUnderLoad, load: Load): Promise<WireFigures> {
  return withServer(async (server) => {
    const streams = await openAll(server, wire, load);
    await pause(WARM_UP_MS);
    take(streams);
    const cpu = server.cpuMs();
    const begun = performance.now();
    await pause(load.seconds * 1000);
    const [used, wall] = [server.cpuMs() - cpu, performance.now() - begun];
    const { tokens, bytes, violations, ages } = take(streams);
    for (const stream of streams) stream.close();
    return {
      wire: wire.name,
      tokensPerSecond: Math.round((tokens / wall) * 1000),
      cpuMicrosPerToken: Number(((used * 1000) / tokens).toFixed(1)),
      bytesPerToken: Math.round(bytes / tokens),
      ageP50Ms: quantile(ages, 0.5),
      ageP99Ms: quantile(ages, 0.99),
      violations,
    };
  });
}

/** With `send`: while large bodies are sent, one after another. */
async function gaps(
  server: ServerProcess,
  streams: readonly WireStream[],
  seconds: number,
  send?: () => Promise<SentBodies>,
): Promise<GapFigures> {
  take(streams);
  await server.turns();
  const [sent] = await Promise.all([send?.(), pause(seconds * 1000)]);
  const { longestTurnCpuMs, longestTurnWithoutGcMs, longestGcMs } = await server.turns();
  const { longestGapMs, ages } = take(streams);
  if (sent !== undefined && sent.statuses['200'] === undefined) throw new Error(`no body was accepted: ${sent.answer}`);
  return {
    bodies: sent?.statuses ?? {},
    longestGapMs: Number(longestGapMs.toFixed(1)),
    ageP99Ms: quantile(ages, 0.99),
    longestTurnCpuMs,
    longestTurnWithoutGcMs,
    longestGcMs,
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [chats = '150', rate = '20', seconds = '10', only] = process.argv.slice(2);
  const load = { chats: Number(chats), rate: Number(rate), seconds: Number(seconds) };
  const result = only === 'gaps' ? { gaps: await measureGaps(load) } : await wires(load);
  console.log(keepResults({ ...describeRun(), wires: result }, '-wires'));
}
