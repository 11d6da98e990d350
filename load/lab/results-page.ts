// Makes load/RESULTS.md and its plots from the files of load/results. The page is a pure function of them; the edge at
// the end of this file reads and writes.
//   node dist-load/load/lab/results-page.js now=<file> [before=<file>] [tls=<file>] [tls-before=<file>] [idle=<file>]
//     [resume=<file>] [stages=<file>,<file>…]
// `idle` and `resume` are what load/idle.ts and load/resume.ts print; `stages` is what cost-by-stage.ts keeps, one column for each file.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { IdleFigures } from '../idle.ts';
import type { Run } from '../results.ts';
import type { ResumeFigures } from '../resume.ts';
import type { LabPlan, Load } from './plan.ts';
import { barPlot, linePlot } from './plot.ts';
import { P99_BOUND_MS, type Search } from './search.ts';
import { stagesTable, type StageCost } from './stages.ts';
import { median, summarize, type Row, type Sample } from './summary.ts';
import { SYSTEM_NAMES, SYSTEMS, YARDSTICK, type SystemName } from './systems.ts';

export interface SearchSample extends Search {
  readonly system: SystemName;
  readonly round: number;
}

/** At `factor` times the system's own highest load. */
export interface BeyondSample extends Sample {
  readonly factor: number;
}

/** One file of the lab. */
export interface LabResults extends Run {
  /** The load average when the run began. */
  readonly loadBefore: number | undefined;
  readonly minutes: number;
  readonly plan: LabPlan;
  readonly samples: readonly Sample[];
  readonly searches: readonly SearchSample[];
  /** Files from before this was measured have none. */
  readonly beyond?: readonly BeyondSample[];
}

export interface Named<T> {
  /** Of the file, as the page names it. */
  readonly file: string;
  readonly results: T;
}

export interface PageParts {
  readonly now: Named<LabResults>;
  readonly before?: Named<LabResults>;
  readonly tls?: Named<LabResults>;
  readonly tlsBefore?: Named<LabResults>;
  readonly idle?: Named<readonly IdleFigures[]>;
  readonly resume?: Named<ResumeFigures>;
  readonly stages?: readonly Named<StagesResults>[];
}

/** One file of cost-by-stage.ts. */
export interface StagesResults extends Run, Load, StageCost {
  readonly system: SystemName;
}

export interface Page {
  readonly markdown: string;
  /** By the names of their files, beside the results. */
  readonly plots: ReadonlyMap<string, string>;
}

const INTRODUCTION = `# What a token costs

The job as users have it: a model server at the other end of a socket, one viewer for each chat, and beside Holdline what
they would take instead, in one run. [README.md](README.md#the-lab) says how it is measured and what each figure means. This
page is made of the files that it names by \`load/lab/results-page.ts\`; do not edit it.`;

const STAGES_TEXT = `CPU µs of Holdline's process for a token, Redis not counted ([README.md](README.md#the-lab)).`;

function stageColumn({ file, results }: Named<StagesResults>): Parameters<typeof stagesTable>[0][number] {
  return { title: `${SYSTEMS[results.system].title}, ${loadName(results)}, \`${file}\``, cost: results };
}

export function resultsPage({ now, before, tls, tlsBefore, idle, resume, stages = [] }: PageParts): Page {
  const rows = summarize(now.results.samples);
  const plots = plotsOf(now.results, rows);
  const markdown = [
    INTRODUCTION,
    ...section('Now', now, plots),
    ...(before === undefined ? [] : section('Before', before)),
    ...(before === undefined ? [] : ['## Before and now', comparison(summarize(before.results.samples), rows)]),
    ...(tls === undefined ? [] : section('With TLS to the model server', tls)),
    ...(tlsBefore === undefined ? [] : section('With TLS, before', tlsBefore)),
    ...(stages.length === 0 ? [] : ['## A token, by stage', STAGES_TEXT, stagesTable(stages.map(stageColumn))]),
    ...(idle === undefined ? [] : ['## Idle connections', `\`${idle.file}\``, idleTable(idle.results)]),
    ...(resume === undefined
      ? []
      : ['## A finished answer, resumed', `\`${resume.file}\``, resumeTable(resume.results)]),
  ];
  return { markdown: `${markdown.join('\n\n')}\n`, plots };
}

function section(title: string, { file, results }: Named<LabResults>, plots?: ReadonlyMap<string, string>): string[] {
  const rows = summarize(results.samples);
  const loads = [...new Set(rows.map(loadName))];
  const tables = loads.flatMap((load) => [`### ${load}`, costTable(rows.filter((row) => loadName(row) === load))]);
  const highest = results.searches.length === 0 ? [] : [`### The highest load`, highestTable(results)];
  const beyond = results.beyond ?? [];
  const more = beyond.length === 0 ? [] : ['### More than a system can carry', beyondTable(beyond)];
  const images = [...(plots?.keys() ?? [])].map((name) => `![](results/${name})`);
  return [`## ${title}`, facts(file, results), ...images, ...tables, ...highest, ...more];
}

function facts(file: string, { date, commit, machine, plan, loadBefore, minutes }: LabResults): string {
  const described = Object.entries(machine).map(([key, value]) => `${key} ${value}`);
  const load = loadBefore === undefined ? '' : `, load average ${loadBefore.toFixed(2)} before it`;
  return `\`${file}\`: ${date}, commit ${commit}, ${described.join(', ')}; ${plan.rounds} rounds of ${plan.seconds} s, ${minutes} minutes${load}.`;
}

function costTable(rows: readonly Row[]): string {
  const head = [
    'system',
    'CPU µs a token (node + redis)',
    'least–most',
    `against ${SYSTEMS[YARDSTICK].title}`,
    'p50 / p99 / max ms',
    'delivered',
    'events, bytes a token',
    'RSS MB (node + redis)',
    "lab's own p99 ms",
  ];
  const lines = rows.map(({ system, figures, micros, ratio }) => {
    const cpu = figures.redisMicros > 0 ? ` (${one(figures.nodeMicros)} + ${one(figures.redisMicros)})` : '';
    const memory = figures.redisResidentMb > 0 ? ` + ${one(figures.redisResidentMb)}` : '';
    return [
      SYSTEMS[system].title,
      `**${one(figures.micros)}**${cpu}`,
      `${one(micros[0])}–${one(micros[1])}`,
      ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
      `${one(figures.p50Ms)} / ${one(figures.p99Ms)} / ${one(figures.maxMs)}`,
      `${Math.round(figures.deliveredShare * 100)} %${figures.violations > 0 ? `, ${figures.violations} violations` : ''}`,
      `${figures.eventsPerToken.toFixed(2)}, ${one(figures.bytesPerToken)}`,
      `${one(figures.residentMb)}${memory}`,
      one(figures.lateP99Ms),
    ];
  });
  return table(head, lines);
}

function beyondTable(samples: readonly BeyondSample[]): string {
  const factors = [...new Set(samples.map(({ factor }) => factor))];
  const lines = factors.flatMap((factor) =>
    summarize(samples.filter((sample) => sample.factor === factor)).map(({ system, chats, rate, figures }) => [
      `${factor} ×`,
      SYSTEMS[system].title,
      loadName({ chats, rate }),
      one(figures.micros),
      `${one(figures.p50Ms)} / ${one(figures.p99Ms)} / ${one(figures.maxMs)}`,
      `${Math.round(figures.deliveredShare * 100)} %`,
      figures.eventsPerToken.toFixed(2),
    ]),
  );
  return table(
    ['of its highest load', 'system', 'load', 'CPU µs a token', 'p50 / p99 / max ms', 'delivered', 'events a token'],
    lines,
  );
}

interface Highest {
  readonly system: SystemName;
  /** Tokens a second, the median of the searches. */
  readonly perSecond: number;
  readonly isAtLeast: boolean;
}

function highestOf({ searches }: LabResults): Highest[] {
  return SYSTEM_NAMES.flatMap((system) => {
    const own = searches.filter((search) => search.system === system);
    if (own.length === 0) return [];
    const perSecond = median(own.map(({ highestPerSecond }) => highestPerSecond));
    return [{ system, perSecond, isAtLeast: own.some(({ isAtLeast }) => isAtLeast) }];
  });
}

function highestTable(results: LabResults): string {
  const found = highestOf(results);
  const yardstick = found.find(({ system }) => system === YARDSTICK);
  const lines = found.map((one) => {
    const ratio = yardstick === undefined ? '' : `${(one.perSecond / yardstick.perSecond).toFixed(2)} ×`;
    return [SYSTEMS[one.system].title, highestText(one), ratio];
  });
  return table(
    ['system', `tokens/s with p99 < ${P99_BOUND_MS} ms, on one core`, `against ${SYSTEMS[YARDSTICK].title}`],
    lines,
  );
}

/** Without the mark, the system was at its end; with it, the lab was first. */
function highestText({ perSecond, isAtLeast }: Highest): string {
  return `${isAtLeast ? '≥ ' : ''}${perSecond}`;
}

function comparison(before: readonly Row[], now: readonly Row[]): string {
  const lines = now.flatMap((row) => {
    const old = before.find((one) => one.system === row.system && loadName(one) === loadName(row));
    if (old === undefined) return [];
    const [then, since] = [old.figures, row.figures];
    return [
      [
        SYSTEMS[row.system].title,
        loadName(row),
        `${one(then.micros)} → ${one(since.micros)}`,
        `${old.ratio?.toFixed(2) ?? ''} → ${row.ratio?.toFixed(2) ?? ''}`,
        `${one(then.p99Ms)} → ${one(since.p99Ms)}`,
        `${one(then.bytesPerToken)} → ${one(since.bytesPerToken)}`,
      ],
    ];
  });
  return table(
    ['system', 'load', 'CPU µs a token', `against ${SYSTEMS[YARDSTICK].title}`, 'p99 ms', 'bytes a token'],
    lines,
  );
}

function idleTable(figures: readonly IdleFigures[]): string {
  const lines = figures.map(({ wire, connections, kbPerConnection, cpuPercent }) => [
    wire === 'sse' ? 'SSE' : 'WebSocket',
    String(connections),
    one(kbPerConnection),
    `${one(cpuPercent)} %`,
  ]);
  return table(['wire', 'connections', 'KB each', 'CPU while idle'], lines);
}

function resumeTable({ tokens, eventsMax, resumeP50Ms, resumeP99Ms, cpuMsPerResume }: ResumeFigures): string {
  const line = [String(tokens), String(eventsMax), `${resumeP50Ms} / ${resumeP99Ms}`, String(cpuMsPerResume)];
  return table(['tokens', 'events at most', 'p50 / p99 ms', 'CPU ms of the server each'], [line]);
}

function plotsOf(results: LabResults, rows: readonly Row[]): ReadonlyMap<string, string> {
  const plots = new Map<string, string>();
  for (const load of new Set(rows.map(loadName))) {
    const bars = rows
      .filter((row) => loadName(row) === load)
      .map(({ system, figures }) => ({
        label: plainTitle(system),
        parts: [figures.nodeMicros, figures.redisMicros],
        text: `${one(figures.micros)} µs`,
      }));
    const title = `CPU µs for each delivered token, ${load}`;
    plots.set(`lab-cpu-${fileName(load)}.svg`, barPlot({ title, bars, legend: ['Node', 'Redis'] }));
  }
  if (results.searches.length > 0) {
    const bars = highestOf(results).map((found) => ({
      label: plainTitle(found.system),
      parts: [found.perSecond],
      text: `${highestText(found)}/s`,
    }));
    const title = `Tokens a second with p99 below ${P99_BOUND_MS} ms, on one core`;
    plots.set('lab-highest.svg', barPlot({ title, bars, legend: [] }));
    plots.set('lab-latency.svg', latencyPlot(results));
  }
  return plots;
}

/** p99 over the load, the median of the searches that reached it. */
function latencyPlot({ searches }: LabResults): string {
  const lines = SYSTEM_NAMES.flatMap((system) => {
    const steps = searches.filter((search) => search.system === system).flatMap((search) => search.steps);
    if (steps.length === 0) return [];
    const loads = [...new Set(steps.map(({ offeredPerSecond }) => offeredPerSecond))].sort((a, b) => a - b);
    const points = loads.map((load) => {
      const own = steps.filter(({ offeredPerSecond }) => offeredPerSecond === load);
      return [load, median(own.map(({ p99Ms }) => p99Ms))] as const;
    });
    return [{ label: plainTitle(system), points }];
  });
  return linePlot({
    title: 'p99 from the due time of a token to its arrival',
    xTitle: 'tokens a second, 20 for each chat',
    yTitle: 'ms',
    lines,
    bound: P99_BOUND_MS,
  });
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...lines.map(row)].join('\n');
}

function loadName({ chats, rate }: { readonly chats: number; readonly rate: number }): string {
  return `${chats} chats × ${rate} tokens/s`;
}

function fileName(load: string): string {
  return load
    .replace(/[^\d]+/g, ' ')
    .trim()
    .replace(' ', 'x');
}

function plainTitle(system: SystemName): string {
  return SYSTEMS[system].title.replaceAll('`', '');
}

/** Large values without a decimal. */
function one(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toFixed(1)));
}

function readPart<T>(path: string): Named<T> {
  return { file: basename(path), results: JSON.parse(readFileSync(path, 'utf8')) as T };
}

/** @throws Error if an argument is no part of the page */
function readParts(args: readonly string[]): PageParts {
  const paths = new Map(args.map((arg) => arg.split('=', 2) as [string, string]));
  const known = ['now', 'before', 'tls', 'tls-before', 'idle', 'resume', 'stages'];
  for (const key of paths.keys()) if (!known.includes(key)) throw new Error(`${key}: there are ${known.join(', ')}`);
  const part = <T>(key: string): Named<T> | undefined => {
    const path = paths.get(key);
    return path === undefined ? undefined : readPart<T>(path);
  };
  const now = part<LabResults>('now');
  if (now === undefined) throw new Error('now=<file> is missing');
  const [before, tls, tlsBefore] = [
    part<LabResults>('before'),
    part<LabResults>('tls'),
    part<LabResults>('tls-before'),
  ];
  const [idle, resume] = [part<readonly IdleFigures[]>('idle'), part<ResumeFigures>('resume')];
  const stages =
    paths
      .get('stages')
      ?.split(',')
      .map((path) => readPart<StagesResults>(path)) ?? [];
  return {
    now,
    stages,
    ...(before === undefined ? {} : { before }),
    ...(tls === undefined ? {} : { tls }),
    ...(tlsBefore === undefined ? {} : { tlsBefore }),
    ...(idle === undefined ? {} : { idle }),
    ...(resume === undefined ? {} : { resume }),
  };
}

if (import.meta.filename === process.argv[1]) {
  const page = resultsPage(readParts(process.argv.slice(2)));
  const folder = fileURLToPath(new URL('../../../load', import.meta.url));
  writeFileSync(join(folder, 'RESULTS.md'), page.markdown);
  for (const [name, text] of page.plots) writeFileSync(join(folder, 'results', name), text);
}
