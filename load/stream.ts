// A microscope, and not the job: the model of these runs lives inside the server and costs nothing, so that what follows it
// (log, tail, wire) is seen enlarged. What users have, with a model server at the other end of a socket, lab.ts measures.
// Live runs: N chats, each streaming R tokens a second to one reader, fsync=always; and in the same run the bare
// loop with as many, before and after, because a machine that others share gets slower and faster by a half within
// minutes. Gives append → client p50 and p99, CPU per delivered token of each, and their ratio.
//   npm run build:load && taskset -c 1 node dist-load/load/stream.js [runs=1000] [perSecond=20] [seconds=15]
import { ServerProcess, withServer } from './server-process.ts';
import { newStats, post, quantile, SseClient, type StreamStats } from './sse-client.ts';

const WARM_UP_MS = 4000;
/** Streams opened at once; a connection storm is another measurement. */
const OPENING = 50;

export interface StreamFigures {
  readonly tokensPerSecond: number;
  readonly ageP50Ms: number;
  readonly ageP99Ms: number;
  readonly ageMaxMs: number;
  readonly cpuMicrosPerToken: number;
  readonly cpuPercent: number;
  readonly eventsPerToken: number;
  readonly violations: number;
}

async function measure(
  server: ServerProcess,
  clients: readonly SseClient[],
  stats: StreamStats,
  seconds: number,
): Promise<StreamFigures> {
  await pause(WARM_UP_MS);
  stats.ages.length = 0;
  [stats.tokens, stats.events] = [0, 0];
  const cpu = server.cpuMs();
  const begun = performance.now();
  await pause(seconds * 1000);
  const [tokens, events, used, wall] = [stats.tokens, stats.events, server.cpuMs() - cpu, performance.now() - begun];
  const ages = stats.ages.slice(0, tokens).sort((a, b) => a - b);
  for (const client of clients) client.close();
  return {
    tokensPerSecond: Math.round((tokens / wall) * 1000),
    ageP50Ms: quantile(ages, 0.5),
    ageP99Ms: quantile(ages, 0.99),
    ageMaxMs: quantile(ages, 1),
    cpuMicrosPerToken: Number(((used * 1000) / tokens).toFixed(1)),
    cpuPercent: Math.round((used / wall) * 100),
    eventsPerToken: Number((events / tokens).toFixed(2)),
    violations: stats.violations,
  };
}

export interface StreamResult {
  readonly runs: number;
  readonly rate: number;
  readonly bare: readonly [before: StreamFigures, after: StreamFigures];
  readonly holdline: StreamFigures;
  /** Against the mean of the two. */
  readonly cpuRatio: number;
}

export async function stream(runs: number, rate: number, seconds: number): Promise<StreamResult> {
  const before = await streamBare(runs, rate, seconds);
  const holdline = await streamHoldline(runs, rate, seconds);
  const after = await streamBare(runs, rate, seconds);
  const bareMicros = (before.cpuMicrosPerToken + after.cpuMicrosPerToken) / 2;
  return {
    runs,
    rate,
    bare: [before, after],
    holdline,
    cpuRatio: Number((holdline.cpuMicrosPerToken / bareMicros).toFixed(2)),
  };
}

async function openAll(count: number, open: (i: number) => Promise<SseClient>): Promise<SseClient[]> {
  const clients: SseClient[] = [];
  for (let i = 0; i < count; i += OPENING) {
    clients.push(...(await Promise.all(Array.from({ length: Math.min(OPENING, count - i) }, (_, k) => open(i + k)))));
  }
  return clients;
}

async function streamHoldline(runs: number, rate: number, seconds: number): Promise<StreamFigures> {
  const stats = newStats();
  const total = rate * Math.ceil(seconds + WARM_UP_MS / 1000 + 60);
  return withServer(async (server) => {
    const { port, token } = server;
    const clients = await openAll(runs, async (i) => {
      await post({ port, token, path: `/v1/sessions/s${i}/messages` }, { content: `say ${total} at ${rate}/s` });
      const client = new SseClient({ port, token, path: `/v1/sessions/s${i}/events` }, stats);
      await client.opened;
      return client;
    });
    return measure(server, clients, stats, seconds);
  });
}

async function streamBare(runs: number, rate: number, seconds: number): Promise<StreamFigures> {
  const server = await ServerProcess.start('bare-server');
  const stats = newStats();
  try {
    const clients = await openAll(runs, async () => {
      const client = new SseClient({ port: server.port, token: '', path: `/?rate=${rate}` }, stats);
      await client.opened;
      return client;
    });
    return await measure(server, clients, stats, seconds);
  } finally {
    await server.stop();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [runs = 1000, rate = 20, seconds = 15] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await stream(runs, rate, seconds), null, 2));
}
