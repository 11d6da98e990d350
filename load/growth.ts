// How delivered events grow from one gateway to two, at saturation: more and more viewers watch the same live chats, until
// the gateways have no CPU left or tokens come too late; first with one gateway, then with two. Each gateway has a core of
// its own. Redis (appendfsync always), the worker and the client use both cores as well, so two gateways can at best
// deliver what is left of the two cores. Every figure comes with the CPU of all processes.
//   npm run build:load && node dist-load/load/growth.js [seconds=8]
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BatchViewer, type BatchStats } from './batch-viewer.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { newStats, post, quantile, SseClient } from './sse-client.ts';

const CHATS = 20;
const RATE = 20;
/** Joining viewers read what was said so far; then it is quiet again. */
const SETTLE_MS = 3000;
const OPENING = 50;
/** More of them with every step, as many at each gateway. */
const VIEWERS_A_STEP = 800;
const STEPS_MAX = 10;
/** One of so many reads at once, and says how old each token is. */
const TIMED = 20;
const P99_MS_MAX = 250;
const CPU_PERCENT_MAX = 97;
/** Chats outlive the last step. */
const TOKENS = RATE * 1200;

export interface GrowthStep {
  readonly viewers: number;
  readonly deliveredPerSecond: number;
  readonly ageP50Ms: number;
  readonly ageP99Ms: number;
  readonly cpuPercent: {
    readonly redis: number;
    readonly worker: number;
    readonly client: number;
    readonly gateways: readonly number[];
  };
  readonly violations: number;
}

export interface GrowthFigures {
  /** The most that was delivered in time, and then what was found above it. */
  readonly one: { readonly best: GrowthStep; readonly beyond: GrowthStep | undefined };
  readonly two: { readonly best: GrowthStep; readonly beyond: GrowthStep | undefined };
  readonly ratio: number;
}

/** In a process that no core is denied: the load lab itself is pinned to one. */
export async function growth(seconds: number): Promise<GrowthFigures> {
  const { stdout } = await promisify(execFile)('taskset', [
    '-c',
    '0,1',
    process.execPath,
    import.meta.filename,
    String(seconds),
  ]);
  return JSON.parse(stdout) as GrowthFigures;
}

async function measure(seconds: number): Promise<GrowthFigures> {
  const one = await withFleet({ gatewayCores: ['0'] }, (fleet) => climb(fleet, seconds));
  const two = await withFleet({ gatewayCores: ['0', '1'] }, (fleet) => climb(fleet, seconds));
  return { one, two, ratio: Number((two.best.deliveredPerSecond / one.best.deliveredPerSecond).toFixed(2)) };
}

/** @throws where not even the first step is delivered in time */
async function climb(fleet: Fleet, seconds: number): Promise<GrowthFigures['one']> {
  const audience = new Audience(fleet);
  let best: GrowthStep | undefined;
  try {
    await audience.begin();
    for (let step = 0; step < STEPS_MAX; step += 1) {
      await audience.grow();
      await pause(SETTLE_MS);
      const seen = await audience.watch(seconds);
      console.error(JSON.stringify(seen));
      if (seen.ageP99Ms > P99_MS_MAX) return { best: best ?? fail(seen), beyond: seen };
      if (best === undefined || seen.deliveredPerSecond > best.deliveredPerSecond) best = seen;
      if (seen.cpuPercent.gateways.every((percent) => percent >= CPU_PERCENT_MAX)) break;
    }
    return { best: best ?? fail(undefined), beyond: undefined };
  } finally {
    audience.close();
  }
}

function fail(seen: GrowthStep | undefined): never {
  throw new Error(`this machine is too busy to measure anything: ${JSON.stringify(seen)}`);
}

class Audience {
  readonly #fleet: Fleet;
  readonly #timed = newStats();
  readonly #counted: BatchStats = { events: 0, broken: 0 };
  readonly #viewers: (SseClient | BatchViewer)[] = [];

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  async begin(): Promise<void> {
    const [{ port, token }] = this.#fleet.gateways;
    for (let i = 0; i < CHATS; i += 1)
      await post({ port, token, path: `/v1/sessions/s${i}/messages` }, { content: `say ${TOKENS} at ${RATE}/s` });
  }

  async grow(): Promise<void> {
    for (let i = 0; i < VIEWERS_A_STEP; i += OPENING) {
      await Promise.all(
        Array.from({ length: OPENING }, async () =>
          Promise.all(this.#fleet.gateways.map(async (gateway) => this.#open(gateway))),
        ),
      );
    }
  }

  async watch(seconds: number): Promise<GrowthStep> {
    const { redis, worker, gateways } = this.#fleet;
    const processes = [
      redis,
      worker,
      { cpuMs: () => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000 },
      ...gateways,
    ];
    this.#timed.ages.length = 0;
    [this.#timed.events, this.#timed.tokens] = [0, 0];
    const events = this.#counted.events;
    const before = processes.map((one) => one.cpuMs());
    const begun = performance.now();
    await pause(seconds * 1000);
    const wall = performance.now() - begun;
    const [redisCpu = 0, workerCpu = 0, client = 0, ...gatewayCpu] = processes.map((one, i) =>
      Math.round(((one.cpuMs() - (before[i] ?? 0)) / wall) * 100),
    );
    const ages = this.#timed.ages.slice().sort((a, b) => a - b);
    return {
      viewers: this.#viewers.length,
      deliveredPerSecond: Math.round(((this.#counted.events - events + this.#timed.events) / wall) * 1000),
      ageP50Ms: quantile(ages, 0.5),
      ageP99Ms: quantile(ages, 0.99),
      cpuPercent: { redis: redisCpu, worker: workerCpu, client, gateways: gatewayCpu },
      violations: this.#timed.violations + this.#counted.broken,
    };
  }

  close(): void {
    for (const viewer of this.#viewers) viewer.close();
  }

  async #open({ port, token }: Fleet['gateways'][number]): Promise<void> {
    const count = this.#viewers.length;
    // Of another chat each time.
    const isTimed = Math.floor(count / CHATS) % TIMED === count % TIMED;
    // Those that only count need no history, and thousands that read it would be another measurement.
    const target = { port, token, path: `/v1/sessions/s${count % CHATS}/events${isTimed ? '' : '?after=latest'}` };
    const viewer = isTimed ? new SseClient(target, this.#timed) : new BatchViewer(target, this.#counted);
    this.#viewers.push(viewer);
    await viewer.opened;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [seconds = 8] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await measure(seconds), null, 2));
}
