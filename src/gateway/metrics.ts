// The metrics of this node and their names. Events per token or per request are counted in plain numbers, which a
// scrape reads: updating a labelled counter costs more than the event that it counts. Labels are closed sets, so that
// no caller can make them grow.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ResetReason, WaitingCounts } from '../broker/broker.ts';
import type { DamageCount } from '../broker/health.ts';
import type { RunFigures } from '../session/commands/run-figures.ts';
import type { DeliveryObserver } from '../stream/subscription.ts';
import { countByWire, WIRES, type WireName } from '../stream/projection.ts';
import type { Connections } from './connections/connections.ts';

/** All names and help texts. */
export const METRICS = {
  streams: ['holdline_streams', 'Open streams: SSE responses and WebSockets.'],
  delivered: ['holdline_delivered_events_total', 'Live events handed to connections.'],
  refusedSockets: [
    'holdline_refused_sockets_total',
    'Connections that were refused at once, because their address has too many.',
  ],
  resumes: ['holdline_resumes_total', 'Streams that began after a position their reader named.'],
  resets: ['holdline_resets_total', 'Readers told that their position cannot be served.'],
  fellBehind: ['holdline_fell_behind_total', 'Readers put back to catching up.'],
  requests: ['holdline_http_requests_total', 'HTTP requests by route and class of status.'],
  runs: ['holdline_runs_total', 'Runs that left a worker of this process, by outcome.'],
  continuedChars: [
    'holdline_continued_chars_total',
    'UTF-16 code units of answers that a worker of this process went on behind, instead of having them made again.',
  ],
  deadLetters: [
    'holdline_dead_letters_total',
    'Run requests that a worker of this process set aside as dead letters, by reason.',
  ],
  latency: [
    'holdline_append_to_delivered_ms',
    'Age of a record when it was handed to its viewers, sampled once a run.',
  ],
  takeovers: [
    'holdline_takeovers_total',
    'Starts of ended runs beyond the first: each a worker that was lost, or let go.',
  ],
  unwatchedRuns: ['holdline_unwatched_runs_total', 'Runs that were ended because nobody watched them.'],
  unwatchedSeconds: [
    'holdline_unwatched_run_seconds_total',
    'How long those had been running when they were ended. What they would have taken further, which is what was saved, nobody knows.',
  ],
  waitedMs: ['holdline_run_waited_ms', 'From a prompt to the start of its run.'],
  servedTokens: [
    'holdline_served_tokens_total',
    'Model tokens of ended runs, as their models reported them; deltas of runs without a report.',
  ],
  firstTokenMs: ['holdline_run_first_token_ms', 'From the start of a run to its first token.'],
  durationMs: ['holdline_run_duration_ms', 'From the start of a run to its end.'],
  cancelMs: ['holdline_run_cancel_ms', 'From the wish to stop a run to its end.'],
  activeRuns: ['holdline_active_runs', 'Runs that the worker of this process has now.'],
  runsMax: ['holdline_runs_max', 'Runs that the worker of this process may have at once.'],
  credit: ['holdline_worker_credit', 'Runs of an agent that the worker of this process may have now.'],
  waitingRuns: ['holdline_waiting_runs', 'Runs that wait for a worker, on all nodes together.'],
  paused: ['holdline_paused', 'Agents, tenants and chats that an operator has paused.'],
  damagedTopics: [
    'holdline_damaged_topics',
    'Topics with records that cannot be read back, as far as they were found.',
  ],
  missingSegments: ['holdline_missing_segments', 'Files of the log that hold records and are missing.'],
  damagedIndex: ['holdline_damaged_index', '1 if a part of the index of the log cannot be read.'],
  lostParts: ['holdline_lost_log_parts', 'Parts of the log that a start could not read.'],
} as const satisfies Record<string, readonly [name: string, help: string]>;

const LATENCY_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

const RUN_BUCKETS_MS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000];
/** The figures of a run that have a histogram. */
const RUN_HISTOGRAMS = ['firstTokenMs', 'durationMs', 'cancelMs'] as const;
/** Agents with figures of their own. A gateway without configured agents takes prompts for any name, and names from
 *  users must not make metrics without a bound. */
const AGENTS_MAX = 64;
const OTHER_AGENTS = 'other';

/** The class of a run, by which operators compare how long runs wait and what they get. */
export interface RunClass {
  readonly agent: string;
  readonly priority: string;
}

/** Figures that other parts of the process provide. */
export interface MetricSources {
  /** The worker of this process: its runs now and at most. Their ratio shows whether more workers are needed. */
  readonly worker?: () => {
    readonly active: number;
    readonly max: number;
    readonly credits?: ReadonlyMap<string, number>;
  };
  /** By agent: the runs that wait, by priority. */
  readonly waitingRuns?: () => Promise<ReadonlyMap<string, WaitingCounts>>;
  /** How many things are paused. */
  readonly paused?: () => number;
  /** The damage of the storage; undefined for a storage that keeps no files of its own. */
  readonly damage?: () => DamageCount | undefined;
}

export class Metrics implements DeliveryObserver {
  readonly #registry = new Registry();
  readonly #resets = new Map<ResetReason, number>();
  /** By route, then by class of status. */
  readonly #requests = new Map<string, Map<string, number>>();
  readonly #runs = new Map<string, number>();
  /** By agent, then by priority. */
  readonly #servedTokens = new Map<string, Map<string, number>>();
  readonly #waitedMs: Histogram;
  readonly #resumes = countByWire();
  readonly #latency: Histogram;
  readonly #runTimes: readonly (readonly [figure: (typeof RUN_HISTOGRAMS)[number], histogram: Histogram])[];
  #delivered = 0;
  #continuedChars = 0;
  readonly #deadLetters = new Map<string, number>();
  #fellBehind = 0;
  #refusedSockets = 0;
  #takeovers = 0;
  #unwatchedRuns = 0;
  #unwatchedSeconds = 0;

  constructor(connections: Connections, sources: MetricSources) {
    collectDefaultMetrics({ register: this.#registry });
    this.#latency = this.#histogram('latency', LATENCY_BUCKETS_MS);
    this.#waitedMs = this.#histogram('waitedMs', RUN_BUCKETS_MS, ['agent', 'priority']);
    this.#runTimes = RUN_HISTOGRAMS.map((figure) => [figure, this.#histogram(figure, RUN_BUCKETS_MS)]);
    this.#gauge('streams', ['wire'], (set) => {
      for (const wire of WIRES) set({ wire }, connections.live[wire]);
    });
    this.#counter('delivered', [], (add) => add({}, this.#delivered));
    this.#counter('fellBehind', [], (add) => add({}, this.#fellBehind));
    this.#counter('refusedSockets', [], (add) => add({}, this.#refusedSockets));
    this.#counter('resumes', ['wire'], (add) => {
      for (const wire of WIRES) add({ wire }, this.#resumes[wire]);
    });
    this.#counter('resets', ['reason'], (add) => {
      for (const [reason, count] of this.#resets) add({ reason }, count);
    });
    this.#counter('requests', ['route', 'status'], (add) => {
      for (const [route, classes] of this.#requests)
        for (const [status, count] of classes) add({ route, status }, count);
    });
    this.#counter('unwatchedRuns', [], (add) => add({}, this.#unwatchedRuns));
    this.#counter('unwatchedSeconds', [], (add) => add({}, this.#unwatchedSeconds));
    this.#counter('takeovers', [], (add) => add({}, this.#takeovers));
    this.#counter('runs', ['outcome'], (add) => {
      for (const [outcome, runs] of this.#runs) add({ outcome }, runs);
    });
    this.#counter('servedTokens', ['agent', 'priority'], (add) => {
      for (const [agent, classes] of this.#servedTokens)
        for (const [priority, tokens] of classes) add({ agent, priority }, tokens);
    });
    this.#counter('continuedChars', [], (add) => add({}, this.#continuedChars));
    this.#counter('deadLetters', ['reason'], (add) => {
      for (const [reason, letters] of this.#deadLetters) add({ reason }, letters);
    });
    this.#readSources(sources);
  }

  #readSources({ worker, damage, paused, waitingRuns }: MetricSources): void {
    if (waitingRuns !== undefined)
      this.#gauge('waitingRuns', ['agent', 'priority'], async (set, reset) => {
        // While the storage is away the number is not known, and the other metrics are served.
        reset();
        for (const [agent, counts] of await waitingRuns().catch(() => []))
          for (const [priority, count] of Object.entries(counts)) set({ agent, priority }, count);
      });
    if (paused !== undefined) this.#gauge('paused', [], (set) => set({}, paused()));
    if (worker !== undefined) {
      this.#gauge('activeRuns', [], (set) => set({}, worker().active));
      this.#gauge('runsMax', [], (set) => set({}, worker().max));
      this.#gauge('credit', ['agent'], (set) => {
        for (const [agent, credit] of worker().credits ?? []) set({ agent }, credit);
      });
    }
    if (damage?.() !== undefined) {
      this.#gauge('damagedTopics', [], (set) => set({}, damage()?.topics ?? 0));
      this.#gauge('missingSegments', [], (set) => set({}, damage()?.missingSegments ?? 0));
      this.#gauge('damagedIndex', [], (set) => set({}, damage()?.damagedIndex ?? 0));
      this.#gauge('lostParts', [], (set) => set({}, damage()?.lostParts ?? 0));
    }
  }

  onDelivered(events: number): void {
    this.#delivered += events;
  }

  onLatency(ms: number): void {
    this.#latency.observe(Math.max(0, ms));
  }

  onFellBehind(): void {
    this.#fellBehind += 1;
  }

  countRefusedSocket(): void {
    this.#refusedSockets += 1;
  }

  onReset(reason: ResetReason): void {
    this.#resets.set(reason, (this.#resets.get(reason) ?? 0) + 1);
  }

  onResume(wire: WireName): void {
    this.#resumes[wire] += 1;
  }

  /** Counts a run that left a worker. `outcome` must be from a closed set. */
  countRun(outcome: string): void {
    this.#runs.set(outcome, (this.#runs.get(outcome) ?? 0) + 1);
  }

  /** Records a run whose end this node has appended. `attempts` is 0 if the run never started. */
  onRunEnded({ agent: name, priority }: RunClass, figures: RunFigures, attempts: number, tokens: number): void {
    this.#takeovers += Math.max(0, attempts - 1);
    const agent = this.#servedTokens.has(name) || this.#servedTokens.size < AGENTS_MAX ? name : OTHER_AGENTS;
    const served = this.#servedTokens.get(agent) ?? new Map<string, number>();
    this.#servedTokens.set(agent, served);
    served.set(priority, (served.get(priority) ?? 0) + tokens);
    if (figures.waitedMs !== undefined) this.#waitedMs.observe({ agent, priority }, figures.waitedMs);
    for (const [figure, histogram] of this.#runTimes) {
      const ms = figures[figure];
      if (ms !== undefined) histogram.observe(ms);
    }
  }

  countUnwatched(ranMs: number): void {
    this.#unwatchedRuns += 1;
    this.#unwatchedSeconds += ranMs / 1000;
  }

  countContinued(chars: number): void {
    this.#continuedChars += chars;
  }

  countDeadLetter(reason: string): void {
    this.#deadLetters.set(reason, (this.#deadLetters.get(reason) ?? 0) + 1);
  }

  /** `route` is the declared pattern, never the URL of the request. */
  onRequest(route: string, status: number): void {
    const classes = this.#requests.get(route) ?? new Map<string, number>();
    const statusClass = `${Math.floor(status / 100)}xx`;
    this.#requests.set(route, classes);
    classes.set(statusClass, (classes.get(statusClass) ?? 0) + 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    this.#registry.clear();
  }

  #gauge(
    key: keyof typeof METRICS,
    labelNames: string[],
    read: (set: (labels: Record<string, string>, value: number) => void, reset: () => void) => void | Promise<void>,
  ): void {
    const [name, help] = METRICS[key];
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () =>
        read(
          (labels, value) => gauge.set(labels, value),
          () => gauge.reset(),
        ),
    });
  }

  #histogram(key: keyof typeof METRICS, buckets: number[], labelNames: string[] = []): Histogram {
    const [name, help] = METRICS[key];
    return new Histogram({ name, help, labelNames, buckets, registers: [this.#registry] });
  }

  #counter(
    key: keyof typeof METRICS,
    labelNames: string[],
    read: (add: (labels: Record<string, string>, value: number) => void) => void,
  ): void {
    const [name, help] = METRICS[key];
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        read((labels, value) => counter.inc(labels, value));
      },
    });
  }
}
