// Measures one phase of a program from inside its process: time, CPU, the longest turn of the event loop, the longest
// pause of the garbage collector, and the peaks of heap and resident memory. A turn is the time between two ticks of a
// 1 ms timer, so it includes the time that the kernel gives to other processes. So each turn is also measured without the
// wait for a core, by the CPU of the main thread alone, and by that CPU without the share of collections: that is what
// the program itself did. The kernel counts no CPU for a collection, so a collection has the share of the turn's CPU
// that it has of the turn's time. Linux only.
import { PerformanceObserver } from 'node:perf_hooks';
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { getHeapStatistics } from 'node:v8';

const MIB = 1024 * 1024;
const TICK_MS = 1;
export const LONG_TURN_MS = 20;
/** Shorter turns are not compared with the collections. */
const NOTED_TURN_MS = 2;
const HEAP_SAMPLE_MS = 20;
const SCHEDULING_BYTES = 128;
/** Written to /proc/self/clear_refs: the kernel's peak of resident memory begins again. */
const RESET_PEAK = '5';
const QUIET_SAMPLE_MS = 250;
/** A process is quiet when it used less than this part of a core in as many samples in a row. */
const QUIET_CORE_PART = 0.1;
const QUIET_SAMPLES = 16;

export interface PhaseFigures {
  readonly phase: string;
  readonly items: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly cpuSeconds: number;
  readonly cpuMicrosPerItem: number;
  readonly longestTurnMs: number;
  /** Without the time for which the main thread waited for a core. */
  readonly longestOwnTurnMs: number;
  readonly longestTurnCpuMs: number;
  /** CPU of the main thread without collections. */
  readonly longestTurnWithoutGcMs: number;
  /** Turns with more than 20 ms of CPU. */
  readonly longTurns: number;
  /** Of these, the ones that have more than 20 ms also without collections. */
  readonly longTurnsWithoutGc: number;
  readonly longestGcMs: number;
  readonly gcSeconds: number;
  readonly heapPeakMiB: number;
  readonly rssPeakMiB: number;
  readonly load: number;
}

interface Turn {
  readonly from: number;
  readonly to: number;
  readonly cpu: number;
}

/** A pause of the garbage collector. */
interface Pause {
  readonly from: number;
  readonly to: number;
}

/** What a process holds after two full collections. */
export interface Held {
  readonly heapBytes: number;
  /** Buffers outside of the heap. */
  readonly externalBytes: number;
  readonly rssBytes: number;
}

export class PhaseMeter {
  readonly #begun = performance.now();
  readonly #cpu = process.cpuUsage();
  readonly #ticks: NodeJS.Timeout;
  readonly #pauses: PerformanceObserver;
  readonly #scheduling = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  readonly #line = Buffer.alloc(SCHEDULING_BYTES);
  #tickedAt = performance.now();
  #thread = { ranMs: 0, waitedMs: 0 };
  #sampledAt = 0;
  #longestTurn = 0;
  #longestOwnTurn = 0;
  #longestTurnCpu = 0;
  readonly #turns: Turn[] = [];
  readonly #collections: Pause[] = [];
  #heapPeak = 0;

  constructor() {
    writeFileSync('/proc/self/clear_refs', RESET_PEAK);
    this.#thread = this.#mainThread();
    this.#ticks = setInterval(() => this.#tick(), TICK_MS);
    this.#pauses = new PerformanceObserver((list) => this.#note(list.getEntries()));
    this.#pauses.observe({ entryTypes: ['gc'] });
  }

  /** `endedAt`: the end of the phase, where the caller notices it later. */
  stop(phase: string, items: number, endedAt = performance.now()): PhaseFigures {
    this.#tick();
    clearInterval(this.#ticks);
    this.#note(this.#pauses.takeRecords());
    this.#pauses.disconnect();
    closeSync(this.#scheduling);
    const seconds = (endedAt - this.#begun) / 1000;
    const { user, system } = process.cpuUsage(this.#cpu);
    const own = withoutCollections(this.#turns, this.#collections);
    const collected = this.#collections.map(({ from, to }) => to - from);
    return {
      phase,
      items,
      seconds: rounded(seconds, 3),
      perSecond: Math.round(items / seconds),
      cpuSeconds: rounded((user + system) / 1e6, 2),
      cpuMicrosPerItem: rounded((user + system) / Math.max(1, items), 1),
      longestTurnMs: rounded(this.#longestTurn, 1),
      longestOwnTurnMs: rounded(this.#longestOwnTurn, 1),
      longestTurnCpuMs: rounded(this.#longestTurnCpu, 1),
      longestTurnWithoutGcMs: rounded(longest(own), 1),
      longTurns: this.#turns.filter(({ cpu }) => cpu > LONG_TURN_MS).length,
      longTurnsWithoutGc: own.filter((cpu) => cpu > LONG_TURN_MS).length,
      longestGcMs: rounded(longest(collected), 1),
      gcSeconds: rounded(collected.reduce((sum, ms) => sum + ms, 0) / 1000, 2),
      heapPeakMiB: Math.round(this.#heapPeak / MIB),
      rssPeakMiB: Math.round(residentPeak() / MIB),
      load: rounded(loadavg()[0] ?? 0, 1),
    };
  }

  #note(entries: readonly PerformanceEntry[]): void {
    for (const { startTime, duration } of entries)
      this.#collections.push({ from: startTime, to: startTime + duration });
  }

  #tick(): void {
    const now = performance.now();
    const turn = now - this.#tickedAt;
    const thread = this.#mainThread();
    const cpu = thread.ranMs - this.#thread.ranMs;
    this.#longestTurn = Math.max(this.#longestTurn, turn);
    this.#longestOwnTurn = Math.max(this.#longestOwnTurn, turn - (thread.waitedMs - this.#thread.waitedMs));
    this.#longestTurnCpu = Math.max(this.#longestTurnCpu, cpu);
    if (cpu > NOTED_TURN_MS) this.#turns.push({ from: this.#tickedAt, to: now, cpu });
    this.#tickedAt = now;
    this.#thread = thread;
    if (now - this.#sampledAt < HEAP_SAMPLE_MS) return;
    this.#sampledAt = now;
    this.#heapPeak = Math.max(this.#heapPeak, getHeapStatistics().used_heap_size);
  }

  /** Since the process began. `waitedMs`: the thread could have run and had no core. */
  #mainThread(): { readonly ranMs: number; readonly waitedMs: number } {
    const length = readSync(this.#scheduling, this.#line, 0, SCHEDULING_BYTES, 0);
    const [ran, waited] = this.#line.toString('latin1', 0, length).split(' ').map(Number);
    return { ranMs: (ran ?? 0) / 1e6, waitedMs: (waited ?? 0) / 1e6 };
  }
}

/** The CPU of each turn without the share of the collections in it. Turns and collections are in the order of time. */
function withoutCollections(turns: readonly Turn[], collections: readonly Pause[]): number[] {
  const sorted = [...collections].sort((a, b) => a.from - b.from);
  let first = 0;
  return turns.map(({ from, to, cpu }) => {
    while ((sorted[first]?.to ?? Infinity) <= from) first += 1;
    let collected = 0;
    for (let i = first; (sorted[i]?.from ?? Infinity) < to; i++) {
      const pause = sorted[i] ?? { from, to: from };
      collected += Math.max(0, Math.min(to, pause.to) - Math.max(from, pause.from));
    }
    return cpu * Math.max(0, 1 - collected / (to - from));
  });
}

function longest(durations: readonly number[]): number {
  return durations.reduce((most, ms) => Math.max(most, ms), 0);
}

/** Waits until the process has nothing to do, but at least `leastMs`. Resolves to the time since which it is quiet. */
export async function quiet(leastMs: number, mostMs = 900_000): Promise<number> {
  const begun = performance.now();
  let since = begun;
  for (let samples = 0; samples < QUIET_SAMPLES || performance.now() - begun < leastMs;) {
    const [at, before] = [performance.now(), process.cpuUsage()];
    await new Promise((resolve) => setTimeout(resolve, QUIET_SAMPLE_MS));
    const { user, system } = process.cpuUsage(before);
    const isQuiet = user + system < QUIET_CORE_PART * (performance.now() - at) * 1000;
    samples = isQuiet ? samples + 1 : 0;
    if (!isQuiet) since = performance.now();
    if (performance.now() - begun > mostMs) throw new Error('the process does not become quiet');
  }
  return since;
}

/** @throws Error if node was started without --expose-gc */
export function held(): Held {
  if (globalThis.gc === undefined)
    throw new Error('memory is measured after a collection: start node with --expose-gc');
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss };
}

function residentPeak(): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
