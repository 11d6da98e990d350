// Prompts of megabytes by reference while other chats stream: uploads go to a chat each, a message names each of them,
// and the model's server reads it whole. Gives the time from the first byte of an upload to the first token of its
// answer, the server's CPU and peak of resident memory, and the age of the other chats' tokens before and meanwhile.
// Broken if a byte is missing at the model's server, if the log holds a prompt, or if anything is left in the storage
// after the chats are deleted.
//   npm run build:load && node dist-load/load/heavy-prompts.js [prompts=16] [MiB=16] [chats=50] [atOnce=4]
import { readdir, readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { describeRun, keepResults } from './results.ts';
import { cpuMsOf } from './server-process.ts';
import { Deployment } from './scenarios/deployment.ts';
import { ReadingModel } from './scenarios/reading-model.ts';
import { newStats, post, quantile, SseClient, type StreamStats } from './sse-client.ts';

const MIB = 1024 * 1024;
const QUIET_MS = 5_000;
const RATE = 20;
const SAMPLE_MS = 50;
const MARK = 'this sentence is in the prompts only. ';

export interface HeavyPlan {
  readonly prompts: number;
  readonly mib: number;
  /** Chats that stream meanwhile. */
  readonly chats: number;
  readonly atOnce: number;
  readonly quietMs: number;
}

interface Ages {
  readonly tokens: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface HeavyFigures {
  /** Sentences; empty if every promise held. */
  readonly broken: readonly string[];
  readonly seconds: number;
  readonly mibPerSecond: number;
  readonly firstTokenP50Ms: number;
  readonly firstTokenMaxMs: number;
  readonly cpuMsPerMib: number;
  readonly rssBeforeMib: number;
  readonly rssPeakMib: number;
  readonly quiet: Ages;
  readonly meanwhile: Ages;
}

interface Target {
  readonly port: number;
  readonly token: string;
}

export async function heavyPrompts(plan: HeavyPlan): Promise<HeavyFigures> {
  const model = await ReadingModel.start();
  const holdline = await Deployment.start({
    engine: 'embedded',
    env: { HOLDLINE_MODEL_URL: model.baseUrl, HOLDLINE_MODEL: 'm' },
  });
  const [server] = holdline.gateways;
  try {
    const target = { port: server.port, token: holdline.token('heavy') };
    return await measure(plan, target, { pid: server.child.pid, folder: server.folder, model });
  } catch (error) {
    console.error(holdline.log);
    throw error;
  } finally {
    await holdline.close();
    await model.close();
  }
}

async function measure(
  { prompts, mib, chats, atOnce, quietMs }: HeavyPlan,
  target: Target,
  { pid, folder, model }: { readonly pid: number; readonly folder: string; readonly model: ReadingModel },
): Promise<HeavyFigures> {
  const stats = newStats();
  const clients = await startChats(target, chats, stats);
  await pause(quietMs);
  stats.ages.length = 0;
  await pause(quietMs);
  const quiet = agesOf(stats);
  const before = { cpu: cpuMsOf(pid), rss: residentMib(await status(pid)) };
  const watch = watchMemory(pid);
  const text = Buffer.from(MARK.repeat(Math.ceil((mib * MIB) / MARK.length))).subarray(0, mib * MIB);
  const begun = performance.now();
  const waits: number[] = [];
  const left = Array.from({ length: prompts }, (_, i) => `heavy-${i}`);
  const work = async (): Promise<void> => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) waits.push(await sendHeavy(target, id, text));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  const wallMs = performance.now() - begun;
  const meanwhile = agesOf(stats);
  const cpu = cpuMsOf(pid) - before.cpu;
  const rssPeakMib = await watch.stop();
  for (const client of clients) client.close();
  const broken = await judge({ prompts, bytes: text.length, stats, model, folder, target });
  waits.sort((a, b) => a - b);
  return {
    broken,
    seconds: round(wallMs / 1000),
    mibPerSecond: round((prompts * mib * 1000) / wallMs),
    firstTokenP50Ms: quantile(waits, 0.5),
    firstTokenMaxMs: quantile(waits, 1),
    cpuMsPerMib: round(cpu / (prompts * mib)),
    rssBeforeMib: before.rss,
    rssPeakMib,
    quiet,
    meanwhile,
  };
}

async function startChats(target: Target, chats: number, stats: StreamStats): Promise<SseClient[]> {
  const clients: SseClient[] = [];
  for (let i = 0; i < chats; i += 1) {
    const path = `/v1/sessions/live-${i}`;
    await post({ ...target, path: '/v1/sessions' }, { sessionId: `live-${i}` });
    const client = new SseClient({ ...target, path: `${path}/events` }, stats);
    await client.opened;
    clients.push(client);
    await post({ ...target, path: `${path}/messages` }, { content: `say 100000 at ${RATE}/s` });
  }
  return clients;
}

/** Returns the ms from the first byte of the upload to the first token of the answer. */
async function sendHeavy(target: Target, id: string, text: Buffer): Promise<number> {
  const begun = performance.now();
  const path = `/v1/sessions/${id}`;
  const stored = await fetch(`http://127.0.0.1:${target.port}${path}/attachments`, {
    method: 'POST',
    headers: { authorization: `Bearer ${target.token}`, 'content-type': 'text/plain' },
    body: new Uint8Array(text),
  });
  if (!stored.ok) throw new Error(`${stored.status} ${await stored.text()}`);
  const { attachmentId } = (await stored.json()) as { attachmentId: string };
  const stats = newStats();
  const client = new SseClient({ ...target, path: `${path}/events` }, stats);
  await client.opened;
  const content = [
    { type: 'attachment', attachmentId },
    { type: 'text', text: 'say 1 at 1000/s' },
  ];
  await post({ ...target, path: `${path}/messages` }, { content });
  while (stats.tokens === 0) await pause(5);
  client.close();
  return performance.now() - begun;
}

async function judge({
  prompts,
  bytes,
  stats,
  model,
  folder,
  target,
}: {
  readonly prompts: number;
  readonly bytes: number;
  readonly stats: StreamStats;
  readonly model: ReadingModel;
  readonly folder: string;
  readonly target: Target;
}): Promise<string[]> {
  const broken: string[] = [];
  const whole = model.bodies.filter((length) => length > bytes).length;
  if (whole !== prompts) broken.push(`${whole} of ${prompts} prompts reached the model's server whole`);
  if (stats.violations > 0) broken.push(`${stats.violations} events of other chats were lost or out of order`);
  if ((await filesWith(join(folder, 'log'), MARK)).length > 0) broken.push('the log holds a prompt');
  for (let i = 0; i < prompts; i += 1) {
    const headers = { authorization: `Bearer ${target.token}` };
    await fetch(`http://127.0.0.1:${target.port}/v1/sessions/heavy-${i}`, { method: 'DELETE', headers });
  }
  const left = await filesWith(folder, MARK);
  if (left.length > 0) broken.push(`${left.length} files hold prompts of deleted chats`);
  return broken;
}

async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await readFile(path)).includes(text)) found.push(path);
  }
  return found;
}

/** Ages since the last call. */
function agesOf(stats: StreamStats): Ages {
  const ages = stats.ages.splice(0).sort((a, b) => a - b);
  return { tokens: ages.length, p50Ms: quantile(ages, 0.5), p99Ms: quantile(ages, 0.99), maxMs: quantile(ages, 1) };
}

function watchMemory(pid: number): { stop(): Promise<number> } {
  let peak = 0;
  const over = new AbortController();
  const watching = (async () => {
    while (!over.signal.aborted) {
      peak = Math.max(peak, residentMib(await status(pid)));
      await pause(SAMPLE_MS);
    }
    return peak;
  })();
  return {
    stop: () => {
      over.abort();
      return watching;
    },
  };
}

function status(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/status`, 'utf8');
}

function residentMib(text: string): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024);
}

function round(value: number): number {
  return Number(value.toFixed(1));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [prompts = '16', mib = '16', chats = '50', atOnce = '4'] = process.argv.slice(2);
  const plan = {
    prompts: Number(prompts),
    mib: Number(mib),
    chats: Number(chats),
    atOnce: Number(atOnce),
    quietMs: QUIET_MS,
  };
  const figures = await heavyPrompts(plan);
  console.log(keepResults({ ...describeRun(), load: loadavg()[0], plan, ...figures }, '-heavy-prompts'));
  process.exitCode = figures.broken.length === 0 ? 0 : 1;
}
