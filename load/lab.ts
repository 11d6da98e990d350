// The lab: the job as users have it. A model server at the other end of a socket, in a process of its own, and side by
// side in one run the proxies and packages that users would take instead. Model server and viewers share the first
// core; the system under measurement, with its Redis, has the second. The systems alternate, and the figures are medians
// of the rounds. Writes load/results/<date>-<commit>-<name>.json; `load/lab/results-page.ts` makes the page of it.
//   npm run build:load && npm ci --prefix load/peers
//   node dist-load/load/lab.js [rounds=6] [seconds=8] [loads=200x20,400x20,500x20] [systems=fetch-proxy,…]
//     [searches=3] [step=1000] [top=40000] [beyond=1,1.5,2] [tls=1] [name=lab]
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { withBench, type Window } from './lab/bench.ts';
import { readPlan, rotated, type LabPlan, type Load } from './lab/plan.ts';
import { RATE, search } from './lab/search.ts';
import type { BeyondSample, LabResults, SearchSample } from './lab/results-page.ts';
import { median, type Sample } from './lab/summary.ts';
import { SYSTEMS, type SystemName } from './lab/systems.ts';
import { describeRun, keepResults } from './results.ts';

const WARM_UP_MS = 3000;

async function measure(name: SystemName, load: Load, { hasTls, seconds }: LabPlan): Promise<Window> {
  return withBench(SYSTEMS[name], { rate: load.rate, hasTls }, async (bench) => {
    await bench.open(load.chats);
    await pause(WARM_UP_MS);
    return bench.measure(seconds);
  });
}

async function measureRounds(plan: LabPlan): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    for (const load of plan.loads) {
      for (const system of rotated(plan.systems, round)) {
        const window = await measure(system, load, plan);
        samples.push({ system, round, ...load, ...window });
        say(`${round} ${load.chats}x${load.rate} ${system}`, window);
      }
    }
  }
  return samples;
}

async function searchRounds(plan: LabPlan): Promise<SearchSample[]> {
  const found: SearchSample[] = [];
  for (let round = 0; round < plan.searches; round++) {
    for (const system of rotated(plan.systems, round)) {
      const one = await search(SYSTEMS[system], plan);
      found.push({ system, round, ...one });
      process.stderr.write(
        `${round} highest ${system}: ${one.isAtLeast ? 'at least ' : ''}${one.highestPerSecond}/s\n`,
      );
    }
  }
  return found;
}

/** Each system at multiples of its own highest load: what it does when more comes than it can carry. */
async function measureBeyond(plan: LabPlan, found: readonly SearchSample[]): Promise<BeyondSample[]> {
  const measured: BeyondSample[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    for (const factor of plan.beyond) {
      for (const system of rotated(plan.systems, round)) {
        const chats = Math.round((factor * highestOf(found, system)) / RATE);
        if (chats === 0) continue;
        const window = await measure(system, { chats, rate: RATE }, plan);
        measured.push({ system, round, factor, chats, rate: RATE, ...window });
        say(`${round} ${factor} x the highest load, ${chats}x${RATE} ${system}`, window);
      }
    }
  }
  return measured;
}

function highestOf(found: readonly SearchSample[], system: SystemName): number {
  return median(found.filter((one) => one.system === system).map(({ highestPerSecond }) => highestPerSecond));
}

function say(what: string, window: Window): void {
  const { micros, nodeMicros, redisMicros, p50Ms, p99Ms, maxMs, deliveredShare, cpuPercent, violations } = window;
  const cpu = `${micros} µs (node ${nodeMicros}, redis ${redisMicros}), core ${cpuPercent} %`;
  const latency = `p50 ${p50Ms} p99 ${p99Ms} max ${maxMs} ms`;
  const lab = `lab late ${window.lateP99Ms} ms, core ${window.labCpuPercent} %`;
  const bytes = `${window.eventsPerToken} events ${window.bytesPerToken} bytes, ${window.residentMb} MB`;
  process.stderr.write(
    `${what}: ${cpu}; ${latency}; ${deliveredShare} delivered; ${bytes}; ${violations} violations; ${lab}\n`,
  );
}

const plan = readPlan(process.argv.slice(2));
const [loadBefore] = loadavg();
const begun = Date.now();
const samples = await measureRounds(plan);
const searches = await searchRounds(plan);
const beyond = await measureBeyond(plan, searches);
const results: LabResults = {
  ...describeRun(),
  loadBefore,
  minutes: Math.round((Date.now() - begun) / 60_000),
  plan,
  samples,
  searches,
  beyond,
};
keepResults({ ...results }, `-${plan.name}`);
