// What the wires of stock clients cost beside the native one: N chats, each streaming R tokens a second to one reader,
// over each wire in turn, and the native wire before and after them, because a machine that others share gets slower and
// faster within minutes. Gives the CPU of the server for each delivered token, as a ratio to the mean of the two native
// measurements. Then native streams while requests with bodies of 4 MiB come one after another: the longest gap between
// two tokens of a stream, and the same before without the bodies. Each answer is checked: its tokens rise without a gap.
//   npm run build:load && taskset -c 1 node dist-load/load/wires.js [chats=150] [perSecond=20] [seconds=10]
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signToken } from '../src/gateway/auth/jwt-signature.ts';
import { describeRun, keepResults } from './results.ts';
import { ServerProcess, withServer } from './server-process.ts';
import { quantile } from './sse-client.ts';
import { WireStream, WIRES_UNDER_LOAD, type WireUnderLoad, type WireStats } from './scenarios/wire-stream.ts';

const WARM_UP_MS = 2000;
const BODY_BYTES = 4 * 1024 * 1024 - 4096;
/** Characters of one message in a large body. */
const MESSAGE_CHARS = 2000;

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
  readonly bodies: number;
  readonly longestGapMs: number;
  readonly ageP99Ms: number;
}

export interface WiresResult {
  readonly chats: number;
  readonly rate: number;
  readonly native: readonly [before: WireFigures, after: WireFigures];
  readonly wires: readonly (WireFigures & { readonly cpuRatio: number })[];
  /** Streams alone, and while large bodies are parsed. */
  readonly gaps: readonly [alone: GapFigures, meanwhile: GapFigures];
}

export async function wires(chats: number, rate: number, seconds: number): Promise<WiresResult> {
  const [native, ...others] = WIRES_UNDER_LOAD;
  if (native === undefined) throw new Error('there is no native wire');
  const load = { chats, rate, seconds };
  const before = await measure(native, load);
  const measured: WireFigures[] = [];
  for (const wire of others) measured.push(await measure(wire, load));
  const after = await measure(native, load);
  const micros = (before.cpuMicrosPerToken + after.cpuMicrosPerToken) / 2;
  const ratioOf = (one: WireFigures): number => Number((one.cpuMicrosPerToken / micros).toFixed(2));
  return {
    chats,
    rate,
    native: [before, after],
    wires: measured.map((one) => ({ ...one, cpuRatio: ratioOf(one) })),
    gaps: await measureGaps(native, load),
  };
}

async function measureGaps(native: WireUnderLoad, load: Load): Promise<[alone: GapFigures, meanwhile: GapFigures]> {
  const secret = randomBytes(32);
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const server = await ServerProcess.start('clock-server', [folder], { env: { LOAD_SECRET: secret.toString('hex') } });
  const exp = Math.floor(Date.now() / 1000) + 3600;
  // What is parsed of one user has a limit, so each body is of another user.
  const tokenOf = (user: number): string =>
    signToken({ sub: `large-${user}`, scope: 'chat', exp }, createSecretKey(secret));
  try {
    const streams = await openAll(server, native, load);
    await pause(WARM_UP_MS);
    const alone = await gaps(streams, load.seconds, undefined);
    const meanwhile = await gaps(streams, load.seconds, (body, user) => sendBody(server.port, tokenOf(user), body));
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
  streams: readonly WireStream[],
  seconds: number,
  send: ((body: string, user: number) => Promise<void>) | undefined,
): Promise<GapFigures> {
  take(streams);
  const end = performance.now() + seconds * 1000;
  let bodies = 0;
  if (send === undefined) await pause(seconds * 1000);
  else {
    const body = largeBody();
    for (; performance.now() < end; bodies += 1) await send(body, bodies);
  }
  const { longestGapMs, ages } = take(streams);
  return { bodies, longestGapMs: Number(longestGapMs.toFixed(1)), ageP99Ms: quantile(ages, 0.99) };
}

/** A long chat, as a page with useChat sends it. */
function largeBody(): string {
  const messages: unknown[] = [];
  for (let bytes = 0; bytes < BODY_BYTES; bytes += MESSAGE_CHARS + 100)
    messages.push({
      id: `m${messages.length}`,
      role: messages.length % 2 === 0 ? 'user' : 'assistant',
      parts: [{ type: 'text', text: 'x'.repeat(MESSAGE_CHARS) }],
    });
  const last = { id: 'last', role: 'user', parts: [{ type: 'text', text: 'say 1 at 20/s' }] };
  return JSON.stringify({ id: 'large', trigger: 'submit-message', messages: [...messages, last] });
}

async function sendBody(port: number, token: string, body: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/api/chat`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text.slice(0, 200)}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [chats = 150, rate = 20, seconds = 10] = process.argv.slice(2).map(Number);
  const result = await wires(chats, rate, seconds);
  console.log(keepResults({ ...describeRun(), wires: result }, '-wires'));
}
