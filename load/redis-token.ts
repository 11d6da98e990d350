// What a token costs on Redis: CPU of Redis, of the node that writes and of the node that follows, for each delivered
// token, and the time from when a token was due until a tail has it. Every chat has one append under way, as
// a run's writer has: what comes meanwhile joins the next record. The writer and the reader are processes of their own.
// A microscope: there is no model server, no gateway and no client.
//   npm run build:load && node dist-load/load/redis-token.js [chats=200] [perSecond=20] [seconds=8] [core, for all]
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once, setMaxListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { BrokerEngine } from '../src/broker/broker.ts';
import { parseLiteTopicName, type LiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import { RedisProcess } from './redis-process.ts';
import { cpuMsOf } from './server-process.ts';
import { quantile } from './sse-client.ts';

const WARM_UP_MS = 3000;
const TICK_MS = 1;
const HEAD = '{"type":"delta","runId":"r-0123456789","part":0,"at":1200,"text":" token","due":"';

interface Chat {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly fence: number;
}

export interface TokenFigures {
  readonly chats: number;
  readonly perSecond: number;
  readonly delivered: number;
  readonly offered: number;
  readonly micros: { readonly redis: number; readonly writer: number; readonly reader: number };
  readonly scriptsPerToken: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

interface Counted {
  readonly delivered: number;
  readonly latencies: readonly number[];
}

function open(url: string): Promise<BrokerEngine> {
  return openBroker({ engine: 'redis', nodes: [url], promise: 'memory', onError: (error) => console.error(error) });
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

export async function redisToken(
  chats: number,
  perSecond: number,
  seconds: number,
  core: number | undefined,
): Promise<TokenFigures> {
  const server = await RedisProcess.start('everysec');
  const redis = new Redis(server.url);
  const [writer, reader] = [start('writer', server.url), start('reader', server.url)];
  try {
    if (core !== undefined) for (const pid of [server.pid, writer.pid, reader.pid]) pin(pid, core);
    const made = (await ask(writer, { chats, perSecond })) as readonly Chat[];
    await ask(reader, made);
    await ask(writer, 'begin');
    await pause(WARM_UP_MS);
    const cpus = (): number[] => [server.pid, writer.pid, reader.pid].map((pid) => cpuMsOf(pid ?? 0));
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    const [before, called] = [cpus(), await scripts()];
    await ask(reader, 'begin');
    await pause(seconds * 1000);
    const { delivered, latencies } = (await ask(reader, 'end')) as Counted;
    const [used, calls] = [cpus().map((ms, i) => ms - (before[i] ?? 0)), (await scripts()) - called];
    const micros = (i: number): number => Math.round(((used[i] ?? 0) * 1000) / delivered);
    const at = (share: number): number => Number(quantile(latencies, share).toFixed(1));
    return {
      chats,
      perSecond,
      delivered: Math.round(delivered / seconds),
      offered: chats * perSecond,
      micros: { redis: micros(0), writer: micros(1), reader: micros(2) },
      scriptsPerToken: Number((calls / delivered).toFixed(2)),
      latencyMs: { p50: at(0.5), p99: at(0.99), max: at(0.99999) },
    };
  } finally {
    writer.kill();
    reader.kill();
    redis.disconnect();
    await server.stop();
  }
}

function start(role: string, url: string): ChildProcess {
  return fork(import.meta.filename, [role, url], { execArgv: ['--max-semi-space-size=32'] });
}

function pin(pid: number | undefined, core: number): void {
  spawnSync('taskset', ['-a', '-p', '-c', String(core), String(pid)]);
}

async function ask(child: ChildProcess, question: object | string): Promise<unknown> {
  child.send(question);
  const [answer] = (await once(child, 'message')) as [unknown];
  return answer;
}

async function write(url: string): Promise<void> {
  const broker = await open(url);
  let lines: RunLine[] = [];
  let pace = { chats: 0, perSecond: 0 };
  process.on('message', (question: 'begin' | { chats: number; perSecond: number }) => {
    if (question === 'begin') {
      offer(lines, pace.perSecond);
      process.send?.('begun');
      return;
    }
    pace = question;
    void Promise.all(Array.from({ length: question.chats }, (_, i) => begin(broker, i))).then((chats) => {
      lines = chats.map((chat) => new RunLine(broker, chat));
      process.send?.(chats);
    });
  });
}

/** A chat with the prompt and the begin of a run, whose fence the tokens carry. */
async function begin(broker: BrokerEngine, i: number): Promise<Chat> {
  const topic = parseLiteTopicName(`chat/${String(i).padStart(6, '0')}`);
  const records = [{ major: true, data: 'ask' }];
  const [made] = await broker.append([{ topic, expect: { create: true }, records, ttlMs: 3_600_000 }]);
  const epoch = made?.epoch ?? '';
  const [fenced] = await broker.append([{ topic, expect: { epoch }, records, takeFence: true }]);
  return { topic, epoch, fence: fenced?.first ?? 0 };
}

/** Writes one chat as a run's writer does. */
class RunLine {
  readonly #broker: BrokerEngine;
  readonly #chat: Chat;
  #seq = 1;
  #due = '';
  #isBusy = false;

  constructor(broker: BrokerEngine, chat: Chat) {
    this.#broker = broker;
    this.#chat = chat;
  }

  push(due: number): void {
    this.#due += `${this.#due === '' ? '' : ','}${due.toFixed(1)}`;
    if (!this.#isBusy) this.#append();
  }

  #append(): void {
    const { topic, epoch, fence } = this.#chat;
    const records = [{ major: false, data: `${HEAD}${this.#due}"}` }];
    this.#due = '';
    this.#isBusy = true;
    this.#broker.append([{ topic, expect: { epoch }, fence: { fence, seq: this.#seq }, records }]).then(
      () => {
        this.#seq += 1;
        this.#isBusy = false;
        if (this.#due !== '') this.#append();
      },
      (error: unknown) => console.error(error),
    );
  }
}

/** An open loop: a token comes when it is due, however far the log is. */
function offer(lines: readonly RunLine[], perSecond: number): void {
  const begun = now();
  const interval = 1000 / (lines.length * perSecond);
  let given = 0;
  setInterval(() => {
    const wanted = Math.floor((now() - begun) / interval);
    for (; given < wanted; given++) lines[given % lines.length]?.push(begun + given * interval);
  }, TICK_MS);
}

async function follow(url: string): Promise<void> {
  const broker = await open(url);
  const ever = new AbortController();
  setMaxListeners(0, ever.signal);
  let latencies: number[] = [];
  const tail = async ({ topic, epoch }: Chat): Promise<void> => {
    for await (const result of broker.tail(topic, { epoch, offset: 2 }, { signal: ever.signal })) {
      if (result.kind !== 'batch') throw new Error('reset');
      for (const item of result.items) {
        if (item.kind !== 'record') continue;
        const arrived = now();
        for (const due of item.data.slice(HEAD.length, -2).split(',')) latencies.push(arrived - Number(due));
      }
    }
  };
  process.on('message', (question: readonly Chat[] | 'begin' | 'end') => {
    if (question === 'end') {
      const sorted = Float64Array.from(latencies).sort();
      const some = Array.from({ length: 10_000 }, (_, i) => sorted[Math.floor((i * sorted.length) / 10_000)] ?? 0);
      process.send?.({ delivered: latencies.length, latencies: some } satisfies Counted);
      return;
    }
    if (question === 'begin') latencies = [];
    else for (const chat of question) void tail(chat);
    process.send?.('done');
  });
}

const [role, url = ''] = process.argv.slice(2);
if (role === 'writer') await write(url);
else if (role === 'reader') await follow(url);
else if (import.meta.filename === process.argv[1]) {
  const [chats = 200, perSecond = 20, seconds = 8, core] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await redisToken(chats, perSecond, seconds, core)));
}
