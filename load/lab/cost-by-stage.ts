// The cost of a token by stage, in µs of CPU: runs a system under the lab's load, takes a CPU profile of the window that is
// measured, and prints a table. Holdline runs from the files that the compiler wrote, one for each source, because
// the bundle in dist/ no longer says which file a function came from. With a profile and its number of tokens it reads
// those instead and measures nothing.
// With a name it also writes load/results/<date>-<commit>-<name>.json, of which results-page.ts makes a table. LOAD_PROFILE is
// the folder that keeps the profile.
//   node dist-load/load/lab/cost-by-stage.js [system=holdline] [chats=200] [rate=20] [seconds=10] [name]
//   node dist-load/load/lab/cost-by-stage.js <file.cpuprofile> <tokens>
import { setTimeout as pause } from 'node:timers/promises';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeRun, keepResults } from '../results.ts';
import { PROFILE } from '../server-process.ts';
import { withBench, type Bench, type Window } from './bench.ts';
import { stagesTable, timeByStage, unattributed, type CpuProfile, type StageCost } from './stages.ts';
import { SYSTEM_NAMES, SYSTEMS, type SystemName } from './systems.ts';

const WARM_UP_MS = 5000;
/** Of the functions that belong to no stage. */
const SHOWN = 8;
/** A thread that costs less than this is left out. */
const SHOWN_MICROS = 0.1;
const root = fileURLToPath(new URL('../../../', import.meta.url));
const UNBUNDLED = 'dist-load/src/main.js';

interface Profiled {
  readonly profile: CpuProfile;
  readonly tokens: number;
  /** CPU µs a token of each thread, in a window without a profile; undefined where only the profile is known. */
  readonly threads: ReadonlyMap<string, number> | undefined;
}

async function profileSystem(name: SystemName, chats: number, rate: number, seconds: number): Promise<Profiled> {
  const folder = PROFILE ?? join(tmpdir(), 'holdline-profiles');
  const options = {
    rate,
    hasTls: false,
    nodeOptions: ['--import', fileURLToPath(new URL('profile-window.js', import.meta.url))],
    ...(name.startsWith('holdline') ? { script: UNBUNDLED, env: { HOLDLINE_PAGE: 'off' } } : {}),
  };
  // Its version is read from there when it starts.
  copyFileSync(join(root, 'package.json'), join(root, 'dist-load/package.json'));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}-${chats}x${rate}.cpuprofile`);
  return withBench(SYSTEMS[name], options, async (bench) => {
    await bench.open(chats);
    await pause(WARM_UP_MS);
    const { window, threads } = await measureThreads(bench, seconds);
    await bench.process.ask({ do: 'profile' });
    const profiled = await bench.measure(seconds);
    await bench.process.ask({ do: 'keep', file });
    console.log(`without the profile ${JSON.stringify(window)}\nwith ${file} ${JSON.stringify(profiled)}`);
    return { profile: readProfile(file), tokens: profiled.deliveredPerSecond * seconds, threads };
  });
}

async function measureThreads(
  bench: Bench,
  seconds: number,
): Promise<{ readonly window: Window; readonly threads: ReadonlyMap<string, number> }> {
  const before = bench.process.cpuMsByThread();
  const window = await bench.measure(seconds);
  const tokens = window.deliveredPerSecond * seconds;
  const used = [...bench.process.cpuMsByThread()].map(
    ([name, ms]) => [name, ((ms - (before.get(name) ?? 0)) * 1000) / tokens] as const,
  );
  return { window, threads: new Map(used) };
}

/** The profile itself costs CPU, so it gives the shares of the stages, and the window without it what the main thread costs. */
function costOf({ profile, tokens, threads }: Profiled): StageCost {
  const stages = timeByStage(profile);
  const sum = stages.reduce((all, { micros }) => all + micros, 0);
  const main = threads?.get('main') ?? sum / tokens;
  const others = [...(threads ?? [])].filter(([name, micros]) => name !== 'main' && micros >= SHOWN_MICROS);
  return {
    stages: stages.map(({ stage, micros }) => ({ stage, micros: rounded((micros / sum) * main) })),
    otherThreads: rounded(others.reduce((all, [, micros]) => all + micros, 0)),
  };
}

function rounded(micros: number): number {
  return Number(micros.toFixed(1));
}

const [first = 'holdline', second, rate = '20', seconds = '10', name] = process.argv.slice(2);
const load = { chats: Number(second ?? 200), rate: Number(rate) };

async function profiledNow(): Promise<Profiled> {
  if (first.endsWith('.cpuprofile')) return { profile: readProfile(first), tokens: Number(second), threads: undefined };
  return profileSystem(systemNamed(first), load.chats, load.rate, Number(seconds));
}

function systemNamed(text: string): SystemName {
  const known = SYSTEM_NAMES.find((one) => one === text);
  if (known === undefined) throw new Error(`there is no system ${text}: ${SYSTEM_NAMES.join(', ')}`);
  return known;
}

function readProfile(file: string): CpuProfile {
  return JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
}

const profiled = await profiledNow();
const cost = costOf(profiled);
console.log(stagesTable([{ title: 'µs a token', cost }]));
for (const { name: other, micros } of unattributed(profiled.profile).slice(0, SHOWN))
  console.log(`other: ${(micros / profiled.tokens).toFixed(2)} µs ${other}`);
if (name !== undefined) keepResults({ ...describeRun(), system: systemNamed(first), ...load, ...cost }, `-${name}`);
