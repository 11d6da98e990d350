// How much room the embedded engine takes for what lives in it. Chats stream answers that supersede their tokens, each
// leaves a short note that stays, and some chats are deleted, as on a busy day; then all chats are deleted. Gives the
// bytes of the log beside the bytes that live (text and 48 bytes a record), and the latency and CPU of the appends: with
// the reclaim, without it, and with it again. Segments are a 64th of the real ones, so that a minute has many.
//   npm run build:load && node dist-load/load/space.js [seconds=60] [tokensPerSecond=8000]
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerEngine } from '../src/broker/broker.ts';
import { parseLiteTopicName, type LiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';

const [seconds = 60, perSecond = 8000] = process.argv.slice(2, 4).map(Number);
const SEGMENT_BYTES = 1024 * 1024;
const LIMITS = { segmentBytes: SEGMENT_BYTES, checkpointBytes: SEGMENT_BYTES, checkpointIntervalMs: 2000 };
const WITHOUT = { logPerLive: 1e9, eraseWithinMs: Infinity };
/** Chats that stream at the same time. */
const LIVE_CHATS = 100;
const TOKENS_MIN = 50;
const TOKENS_MAX = 450;
const RECORD_BYTES = 48;
const TICK_MS = 10;
const NOTES = parseLiteTopicName('list/notes');
const TOKEN = '{"type":"delta","part":0,"text":" token"}';
const PROMPT = JSON.stringify({ type: 'prompt', text: 'a question of a user '.repeat(20) });
const MIB = 1024 * 1024;

interface Chat {
  readonly topic: LiteTopicName;
  readonly tokens: number;
  written: number;
}

interface Sample {
  readonly second: number;
  readonly logMib: number;
  readonly liveMib: number;
}

class Day {
  readonly #broker: BrokerEngine;
  readonly #kept: { readonly topic: LiteTopicName; readonly bytes: number }[] = [];
  readonly #chats: Chat[] = [];
  readonly latencies: number[] = [];
  liveBytes = 0;
  tokens = 0;
  #made = 0;
  #next = 0;

  constructor(broker: BrokerEngine) {
    this.#broker = broker;
  }

  /** Appends the next token of the next chat. */
  token(): void {
    const at = this.#next++ % LIVE_CHATS;
    const chat = (this.#chats[at] ??= this.#newChat());
    chat.written += 1;
    if (chat.written === chat.tokens) this.#chats[at] = this.#newChat();
    const begun = performance.now();
    void this.#append(chat.topic, TOKEN, false).then(() => {
      this.tokens += 1;
      if (this.tokens % 16 === 0) this.latencies.push(performance.now() - begun);
    });
    if (chat.written === chat.tokens) void this.#finish(chat);
  }

  /** Deletes every chat. */
  async removeAll(): Promise<void> {
    const streaming = this.#chats.map(({ topic, written }) => {
      return { topic, bytes: PROMPT.length + RECORD_BYTES + written * (TOKEN.length + RECORD_BYTES) };
    });
    await Promise.all([...this.#kept, ...streaming].map(({ topic }) => this.#broker.remove(topic)));
    for (const { bytes } of [...this.#kept, ...streaming]) this.liveBytes -= bytes;
  }

  #newChat(): Chat {
    const topic = parseLiteTopicName(`chat/default:0123456789abcdef:${this.#made++}`);
    void this.#append(topic, PROMPT, true);
    const tokens = TOKENS_MIN + ((this.#made * 7919) % (TOKENS_MAX - TOKENS_MIN));
    return { topic, tokens, written: 0 };
  }

  async #finish({ topic, tokens }: Chat): Promise<void> {
    const answer = JSON.stringify({ type: 'completed', text: ' token'.repeat(tokens) });
    await this.#append(topic, answer, true, [[1, tokens]]);
    this.liveBytes -= tokens * (TOKEN.length + RECORD_BYTES);
    await this.#append(NOTES, `note ${topic.slice(-12)}`, true);
    this.#kept.push({ topic, bytes: PROMPT.length + answer.length + 2 * RECORD_BYTES });
    // Every third chat is deleted by its user.
    if (this.#made % 3 !== 0) return;
    const gone = this.#kept.shift();
    if (gone === undefined) return;
    await this.#broker.remove(gone.topic);
    this.liveBytes -= gone.bytes;
  }

  async #append(topic: LiteTopicName, data: string, major: boolean, supersedes?: [number, number][]): Promise<void> {
    await this.#broker.append([
      {
        topic,
        expect: { create: true },
        records: [{ major, data }],
        ...(supersedes === undefined ? {} : { supersedes }),
      },
    ]);
    this.liveBytes += data.length + RECORD_BYTES;
  }
}

async function logBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(join(folder, 'log')))
    sum += (await stat(join(folder, 'log', name)).catch(() => ({ size: 0 }))).size;
  return sum;
}

async function sampleOf(folder: string, day: Day, second: number): Promise<Sample> {
  const mib = (bytes: number): number => Math.round((bytes / MIB) * 10) / 10;
  return { second, logMib: mib(await logBytes(folder)), liveMib: mib(day.liveBytes) };
}

async function stream(day: Day, folder: string, curve: Sample[]): Promise<void> {
  const begun = performance.now();
  for (let [given, second] = [0, 1]; performance.now() - begun < seconds * 1000;) {
    const passed = (performance.now() - begun) / 1000;
    for (const wanted = Math.floor(passed * perSecond); given < wanted; given++) day.token();
    if (passed >= second) curve.push(await sampleOf(folder, day, second++));
    await sleep(TICK_MS);
  }
}

async function measure(isReclaiming: boolean): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-space-'));
  const limits = isReclaiming ? LIMITS : { ...LIMITS, ...WITHOUT };
  const broker = await openBroker({ engine: 'log', folder, fsync: { mode: 'always' }, limits, onFatal: console.error });
  const day = new Day(broker);
  const [curve, after]: [Sample[], Sample[]] = [[], []];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  await stream(day, folder, curve);
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  await day.removeAll();
  for (let second = 0; second <= 15; second += 5) {
    after.push(await sampleOf(folder, day, second));
    if (second < 15) await sleep(5000);
  }
  await broker.close();
  await rm(folder, { recursive: true });
  const sorted = day.latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => Math.round((sorted[Math.floor(sorted.length * q)] ?? 0) * 10) / 10;
  const above = curve.map(({ logMib, liveMib }) => (logMib - (2 * SEGMENT_BYTES) / MIB) / liveMib);
  return {
    isReclaiming,
    tokensPerSecond: Math.round(day.tokens / seconds),
    cpuMicrosAToken: Math.round(((user + system) / day.tokens) * 10) / 10,
    appendMs: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(0.9999) },
    loopDelayMs: { p99: Math.round(delay.percentile(99) / 1e5) / 10, max: Math.round(delay.max / 1e5) / 10 },
    /** (log - 2 segments) / live, at its highest. */
    mostPerLive: Math.round(Math.max(...above) * 100) / 100,
    curve: curve.filter(({ second }) => second % 5 === 0),
    afterAllWereDeleted: after,
  };
}

for (const isReclaiming of [true, false, true]) console.log(JSON.stringify(await measure(isReclaiming)));
