// Many nodes on one Redis (appendfsync always): appends by themselves, live streams through one gateway and through
// two with one worker, a storm: 5,000 streams whose gateway dies and that come back to the other, and how far one gateway
// goes and two (growth.ts). Everything shares this machine's two cores with the client, so the figures say what a token
// costs whom, and not what Redis can do.
//   npm run build:load && node dist-load/load/redis.js
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { unpinned, withFleet } from './fleet.ts';
import { growth, type GrowthFigures } from './growth.ts';
import { RedisProcess } from './redis-process.ts';
import type { ServerProcess } from './server-process.ts';
import { newStats, post, quantile, SseClient, type StreamStats } from './sse-client.ts';
import { storm, type StormFigures } from './storm.ts';

const WARM_UP_MS = 4000;
const OPENING = 50;

export interface AppendFigures {
  readonly appendsPerSecond: number;
  readonly deliveredPerSecond: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  readonly nodeCpuMicrosPerAppend: number;
  readonly redisCpuMicrosPerAppend: number;
}

export interface FleetFigures {
  readonly gateways: number;
  readonly viewers: number;
  readonly deliveredPerSecond: number;
  readonly ageP50Ms: number;
  readonly ageP99Ms: number;
  readonly cpuPercent: { readonly redis: number; readonly worker: number; readonly gateways: readonly number[] };
  readonly violations: number;
}

export interface RedisFigures {
  readonly appends: AppendFigures;
  readonly streams: readonly FleetFigures[];
  readonly storm: StormFigures;
  readonly growth: GrowthFigures;
}

export async function redis(): Promise<RedisFigures> {
  return {
    appends: await appends(1000, 10, 10),
    streams: [
      await fleet(1, { chats: 100, rate: 20, viewers: 4 }, 10),
      await fleet(2, { chats: 100, rate: 20, viewers: 4 }, 10),
    ],
    storm: await withFleet(unpinned(2), ({ gateways: [dying, surviving = dying] }) =>
      storm({ dying, surviving, clients: 5000, live: 50 }),
    ),
    growth: await growth(8),
  };
}

async function appends(topics: number, perSecond: number, seconds: number): Promise<AppendFigures> {
  const server = await RedisProcess.start('always');
  try {
    const script = fileURLToPath(new URL('append.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [
      script,
      ...[topics, perSecond, seconds].map(String),
      server.url,
    ]);
    const made = JSON.parse(stdout) as {
      appendsPerSecond: number;
      deliveredPerSecond: number;
      cpuMicrosPerAppend: number;
      latencyMs: { p50: number; p99: number };
    };
    // Warm-up and set-up are in it too: a little too much rather than too little.
    const used = server.cpuMs() * 1000;
    return {
      appendsPerSecond: made.appendsPerSecond,
      deliveredPerSecond: made.deliveredPerSecond,
      latencyMs: { p50: made.latencyMs.p50, p99: made.latencyMs.p99 },
      nodeCpuMicrosPerAppend: made.cpuMicrosPerAppend,
      redisCpuMicrosPerAppend: Math.round(used / (made.appendsPerSecond * (seconds + 2))),
    };
  } finally {
    await server.stop();
  }
}

function fleet(
  gatewayCount: 1 | 2,
  load: { readonly chats: number; readonly rate: number; readonly viewers: number },
  seconds: number,
): Promise<FleetFigures> {
  return withFleet(unpinned(gatewayCount), async ({ redis: server, worker, gateways }) => {
    const stats = newStats();
    const clients = await openViewers(gateways, load, seconds, stats);
    await pause(WARM_UP_MS);
    stats.ages.length = 0;
    stats.tokens = 0;
    const processes = [server, worker, ...gateways];
    const before = processes.map((one) => one.cpuMs());
    const begun = performance.now();
    await pause(seconds * 1000);
    const wall = performance.now() - begun;
    const [redisCpu = 0, workerCpu = 0, ...gatewayCpu] = processes.map((one, i) =>
      Math.round(((one.cpuMs() - (before[i] ?? 0)) / wall) * 100),
    );
    const ages = stats.ages.slice(0, stats.tokens).sort((a, b) => a - b);
    for (const client of clients) client.close();
    return {
      gateways: gatewayCount,
      viewers: clients.length,
      deliveredPerSecond: Math.round((stats.tokens / wall) * 1000),
      ageP50Ms: quantile(ages, 0.5),
      ageP99Ms: quantile(ages, 0.99),
      cpuPercent: { redis: redisCpu, worker: workerCpu, gateways: gatewayCpu },
      violations: stats.violations,
    };
  });
}

/** The viewers of each chat in turn at each gateway. */
async function openViewers(
  gateways: readonly ServerProcess[],
  { chats, rate, viewers }: { readonly chats: number; readonly rate: number; readonly viewers: number },
  seconds: number,
  stats: StreamStats,
): Promise<SseClient[]> {
  const total = rate * Math.ceil(seconds + WARM_UP_MS / 1000 + 60);
  const clients: SseClient[] = [];
  for (let i = 0; i < chats; i += OPENING) {
    const opened = Array.from({ length: Math.min(OPENING, chats - i) }, async (_, k) => {
      const session = `s${i + k}`;
      const { port = 0, token = '' } = gateways[0] ?? {};
      await post({ port, token, path: `/v1/sessions/${session}/messages` }, { content: `say ${total} at ${rate}/s` });
      return Promise.all(
        Array.from({ length: viewers }, (_unused, v) => openViewer(gateways[v % gateways.length], session, stats)),
      );
    });
    clients.push(...(await Promise.all(opened)).flat());
  }
  return clients;
}

async function openViewer(gateway: ServerProcess | undefined, session: string, stats: StreamStats): Promise<SseClient> {
  const { port = 0, token = '' } = gateway ?? {};
  const client = new SseClient({ port, token, path: `/v1/sessions/${session}/events` }, stats);
  await client.opened;
  return client;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) console.log(JSON.stringify(await redis(), null, 2));
