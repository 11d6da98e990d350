// Measures one phase of a program from inside its process: time, CPU, the longest turn of the event loop, the longest
// pause of the garbage collector, and the peaks of heap and resident memory. A turn is the time between two ticks of a
// 1 ms timer, so it includes the time that the kernel gives to other processes. So each turn is also measured without the
// wait for a core, and by the CPU of the main thread alone. Linux only.
import { PerformanceObserver } from 'node:perf_hooks';
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';

const MIB = 1024 * 1024;
const TICK_MS = 1;
const LONG_TURN_MS = 20;
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
  /** Turns with more than 20 ms of CPU. */
  readonly longTurns: number;
  readonly longestGcMs: number;
  readonly gcSeconds: number;
  readonly heapPeakMiB: number;
  readonly rssPeakMiB: number;
  readonly load: number;
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
  #longTurns = 0;
  #longestGc = 0;
  #gcMs = 0;
  #heapPeak = 0;

  constructor() {
    writeFileSync('/proc/self/clear_refs', RESET_PEAK);
    this.#thread = this.#mainThread();
    this.#ticks = setInterval(() => this.#tick(), TICK_MS);
    this.#pauses = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        this.#gcMs += duration;
        this.#longestGc = Math.max(this.#longestGc, duration);
      }
    });
    this.#pauses.observe({ entryTypes: ['gc'] });
  }

  /** `endedAt`: the end of the phase, where the caller notices it later. */
  stop(phase: string, items: number, endedAt = performance.now()): PhaseFigures {
    this.#tick();
    clearInterval(this.#ticks);
    this.#pauses.disconnect();
    closeSync(this.#scheduling);
    const seconds = (endedAt - this.#begun) / 1000;
    const { user, system } = process.cpuUsage(this.#cpu);
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
      longTurns: this.#longTurns,
      longestGcMs: rounded(this.#longestGc, 1),
      gcSeconds: rounded(this.#gcMs / 1000, 2),
      heapPeakMiB: Math.round(this.#heapPeak / MIB),
      rssPeakMiB: Math.round(residentPeak() / MIB),
      load: rounded(loadavg()[0] ?? 0, 1),
    };
  }

  #tick(): void {
    const now = performance.now();
    const turn = now - this.#tickedAt;
    const thread = this.#mainThread();
    const cpu = thread.ranMs - this.#thread.ranMs;
    this.#longestTurn = Math.max(this.#longestTurn, turn);
    this.#longestOwnTurn = Math.max(this.#longestOwnTurn, turn - (thread.waitedMs - this.#thread.waitedMs));
    this.#longestTurnCpu = Math.max(this.#longestTurnCpu, cpu);
    if (cpu > LONG_TURN_MS) this.#longTurns += 1;
    this.#tickedAt = now;
    this.#thread = thread;
    if (now - this.#sampledAt < HEAP_SAMPLE_MS) return;
    this.#sampledAt = now;
    this.#heapPeak = Math.max(this.#heapPeak, process.memoryUsage().heapUsed);
  }

  /** Since the process began. `waitedMs`: the thread could have run and had no core. */
  #mainThread(): { readonly ranMs: number; readonly waitedMs: number } {
    const length = readSync(this.#scheduling, this.#line, 0, SCHEDULING_BYTES, 0);
    const [ran, waited] = this.#line.toString('latin1', 0, length).split(' ').map(Number);
    return { ranMs: (ran ?? 0) / 1e6, waitedMs: (waited ?? 0) / 1e6 };
  }
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
