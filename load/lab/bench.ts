// One system under measurement, with the model server and the viewers that it needs: the model server and the viewers
// share the first core, the system and its Redis the second.
import { mkdtemp, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort, listening, RedisProcess } from '../redis-process.ts';
import { makeCertificate } from './certificate.ts';
import { Histogram } from './histogram.ts';
import type { ModelFigures, ToModel, ToViewer, ViewerFigures } from './messages.ts';
import { PinnedProcess, residentMbOf } from './pinned-process.ts';
import { environmentOf, type System } from './systems.ts';

const LOAD_CORE = '0';
const SYSTEM_CORE = '1';
/** No answer may end while it is measured. */
const ANSWER_SECONDS = 1200;

const root = fileURLToPath(new URL('../../../', import.meta.url));

export interface BenchOptions {
  readonly rate: number;
  readonly hasTls: boolean;
  /** Of the system's process, beside those of all. */
  readonly nodeOptions?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In place of the system's own. */
  readonly script?: string;
}

/** What one window of measurement gives. */
export interface Window {
  readonly offeredPerSecond: number;
  readonly deliveredPerSecond: number;
  /** Of what was offered. */
  readonly deliveredShare: number;
  readonly nodeMicros: number;
  /** 0 without Redis. */
  readonly redisMicros: number;
  /** CPU µs a delivered token, of both. */
  readonly micros: number;
  /** Of the system's core. */
  readonly cpuPercent: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly eventsPerToken: number;
  readonly bytesPerToken: number;
  readonly residentMb: number;
  readonly redisResidentMb: number;
  readonly violations: number;
  /** From the due time to the model server's write: the lab's own part of the latency. */
  readonly lateP99Ms: number;
  /** CPU of model server and viewers together, of their core. */
  readonly labCpuPercent: number;
}

interface BenchParts {
  readonly system: System;
  readonly rate: number;
  readonly folder: string;
  readonly secret: string;
  readonly model: PinnedProcess;
  readonly viewer: PinnedProcess;
  readonly redis: RedisProcess | undefined;
  readonly port: number;
  readonly process: PinnedProcess;
}

export class Bench {
  readonly process: PinnedProcess;
  readonly #parts: BenchParts;
  #chats = 0;

  private constructor(parts: BenchParts) {
    this.#parts = parts;
    this.process = parts.process;
  }

  /** @throws Error if the packages of a peer are not installed */
  static async start(system: System, options: BenchOptions): Promise<Bench> {
    if (system.isPeer && !existsSync(join(root, 'load/peers/node_modules')))
      throw new Error(`${system.name} needs the peers' packages: run npm ci --prefix load/peers`);
    const folder = await mkdtemp(join(tmpdir(), 'holdline-lab-'));
    const secret = randomBytes(32).toString('hex');
    const tls = options.hasTls ? makeCertificate(folder) : undefined;
    const modelPort = await freePort();
    const model = new PinnedProcess({
      core: LOAD_CORE,
      script: beside('model-process.js'),
      args: [String(modelPort), '1000', String(options.rate), ...(tls === undefined ? [] : [tls.certificate, tls.key])],
    });
    const viewer = new PinnedProcess({ core: LOAD_CORE, script: beside('viewer-process.js'), args: [] });
    const redis = system.usesRedis ? await RedisProcess.start('memory', SYSTEM_CORE) : undefined;
    const port = await freePort();
    const around = {
      port,
      modelUrl: `${options.hasTls ? 'https' : 'http'}://127.0.0.1:${modelPort}/v1`,
      redisUrl: redis?.url,
      folder: join(folder, 'data'),
      secret,
      certificate: tls?.certificate,
    };
    const started = new PinnedProcess({
      core: SYSTEM_CORE,
      script: join(root, options.script ?? system.script),
      args: system.args,
      env: { ...environmentOf(system, around), ...options.env },
      nodeOptions: options.nodeOptions ?? [],
    });
    await Promise.all([model.alive(listening(modelPort)), started.alive(listening(port))]);
    return new Bench({ system, rate: options.rate, folder, secret, model, viewer, redis, port, process: started });
  }

  get chats(): number {
    return this.#chats;
  }

  /** So many chats more, each with one viewer. */
  async open(chats: number): Promise<void> {
    const { system, rate, secret, viewer, port } = this.#parts;
    const prompt = `say ${ANSWER_SECONDS * rate} at ${rate}/s`;
    await viewer.ask({ do: 'open', port, wire: system.wire(secret), chats, prompt } satisfies ToViewer);
    this.#chats += chats;
  }

  async measure(seconds: number): Promise<Window> {
    const { rate, model, viewer, redis } = this.#parts;
    viewer.tell({ do: 'mark' } satisfies ToViewer);
    model.tell({ do: 'mark' } satisfies ToModel);
    const before = this.#cpu();
    const begunMs = performance.now();
    await pause(seconds * 1000);
    const after = this.#cpu();
    const wallMs = performance.now() - begunMs;
    const seen = (await viewer.ask({ do: 'take' } satisfies ToViewer)) as ViewerFigures;
    const { lateP99Ms } = (await model.ask({ do: 'take' } satisfies ToModel)) as ModelFigures;
    const ages = Histogram.from(seen.ages);
    const offered = this.#chats * rate;
    const delivered = (seen.tokens / seen.wallMs) * 1000;
    const [node, ofRedis, lab] = [after.node - before.node, after.redis - before.redis, after.lab - before.lab];
    const micros = (ms: number): number => rounded((ms * 1000) / ((delivered * wallMs) / 1000), 1);
    return {
      offeredPerSecond: offered,
      deliveredPerSecond: Math.round(delivered),
      deliveredShare: rounded(delivered / offered, 3),
      nodeMicros: micros(node),
      redisMicros: micros(ofRedis),
      micros: micros(node + ofRedis),
      cpuPercent: Math.round(((node + ofRedis) / wallMs) * 100),
      p50Ms: rounded(ages.quantile(0.5), 1),
      p99Ms: rounded(ages.quantile(0.99), 1),
      maxMs: rounded(ages.maxMs, 1),
      eventsPerToken: rounded(seen.events / seen.tokens, 2),
      bytesPerToken: rounded(seen.bytes / seen.tokens, 1),
      residentMb: this.process.residentMb(),
      redisResidentMb: redis === undefined ? 0 : residentMbOf(redis.pid),
      violations: seen.violations,
      lateP99Ms: rounded(lateP99Ms, 1),
      labCpuPercent: Math.round((lab / wallMs) * 100),
    };
  }

  async stop(): Promise<void> {
    const { viewer, model, redis, folder } = this.#parts;
    for (const one of [viewer, this.process, model]) await one.kill();
    await redis?.stop();
    await rm(folder, { recursive: true, force: true });
  }

  #cpu(): { readonly node: number; readonly redis: number; readonly lab: number } {
    const { viewer, model, redis } = this.#parts;
    return { node: this.process.cpuMs(), redis: redis?.cpuMs() ?? 0, lab: model.cpuMs() + viewer.cpuMs() };
  }
}

export async function withBench<T>(
  system: System,
  options: BenchOptions,
  use: (bench: Bench) => Promise<T>,
): Promise<T> {
  const bench = await Bench.start(system, options);
  try {
    return await use(bench);
  } finally {
    await bench.stop();
  }
}

function beside(script: string): string {
  return fileURLToPath(new URL(script, import.meta.url));
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
