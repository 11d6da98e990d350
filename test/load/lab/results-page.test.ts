// The page of results and its plots, made from files of the lab.
import { describe, expect, it } from 'vitest';
import type { Window } from '../../../load/lab/bench.ts';
import { readPlan } from '../../../load/lab/plan.ts';
import { barPlot, linePlot } from '../../../load/lab/plot.ts';
import { resultsPage, type LabResults } from '../../../load/lab/results-page.ts';
import { median, summarize, type Sample } from '../../../load/lab/summary.ts';
import type { SystemName } from '../../../load/lab/systems.ts';

const WINDOW: Window = {
  offeredPerSecond: 4000,
  deliveredPerSecond: 4000,
  deliveredShare: 1,
  nodeMicros: 40,
  redisMicros: 0,
  micros: 40,
  cpuPercent: 16,
  p50Ms: 1.1,
  p99Ms: 2.2,
  maxMs: 5.5,
  eventsPerToken: 1,
  bytesPerToken: 32,
  residentMb: 100,
  redisResidentMb: 0,
  violations: 0,
  lateP99Ms: 1.2,
  labCpuPercent: 10,
};

function sample(system: SystemName, round: number, figures: Partial<Window>, chats = 200): Sample {
  return { system, round, chats, rate: 20, ...WINDOW, ...figures };
}

const SAMPLES = [
  sample('holdline-redis', 0, { micros: 120, nodeMicros: 80, redisMicros: 40, redisResidentMb: 15 }),
  sample('fetch-proxy', 0, { micros: 40 }),
  sample('fetch-proxy', 1, { micros: 50 }),
  sample('fetch-proxy', 2, { micros: 900 }),
  sample('holdline', 0, { micros: 60, violations: 1 }),
  sample('holdline', 1, { micros: 100, violations: 2 }),
  sample('holdline', 2, { micros: 900 }),
];

function results(samples: readonly Sample[]): LabResults {
  const step = (offeredPerSecond: number, p99Ms: number): Window => ({ ...WINDOW, offeredPerSecond, p99Ms });
  return {
    date: '2026-12-01',
    commit: 'abc1234',
    machine: { node: 'v20', cores: 2 },
    loadBefore: 0.5,
    minutes: 3,
    plan: readPlan(['rounds=3']),
    samples,
    searches: [
      {
        system: 'fetch-proxy',
        round: 0,
        highestPerSecond: 20_000,
        isAtLeast: true,
        steps: [step(1000, 2), step(2000, 200)],
      },
      { system: 'holdline', round: 0, highestPerSecond: 16_000, isAtLeast: false, steps: [step(1000, 8)] },
      { system: 'holdline', round: 1, highestPerSecond: 18_000, isAtLeast: false, steps: [step(1000, 8)] },
    ],
  };
}

describe('the summary', () => {
  it('has one row for each system and load, with medians, and ratios within a round', () => {
    const rows = summarize([...SAMPLES, sample('holdline', 0, {}, 400)]);
    expect(rows.map(({ system, chats }) => `${system} ${chats}`)).toEqual([
      'fetch-proxy 200',
      'holdline 200',
      'holdline-redis 200',
      'holdline 400',
    ]);
    const holdline = rows[1];
    expect(holdline?.figures.micros).toBe(100);
    expect(holdline?.micros).toEqual([60, 900]);
    // 1.5, 2 and 1: a disturbed round is disturbed for both.
    expect(holdline?.ratio).toBe(1.5);
    expect(holdline?.figures.violations).toBe(3);
    expect(rows[3]?.ratio).toBeUndefined();
  });

  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[], 0],
  ])('takes the median of %j as %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});

describe('the page', () => {
  const now = { file: 'now.json', results: results(SAMPLES) };

  it('names the machine, the commit and the file, and has a row for each system', () => {
    const { markdown } = resultsPage({ now });
    expect(markdown).toContain('`now.json`: 2026-12-01, commit abc1234, node v20, cores 2; 3 rounds of 8 s');
    expect(markdown).toContain('### 200 chats × 20 tokens/s');
    expect(markdown).toContain('| Holdline embedded (`always`) | **100** | 60–900 | 1.50 × |');
    expect(markdown).toContain('| Holdline on Redis (`memory`) | **120** (80 + 40) |');
    expect(markdown).toContain('100 %, 3 violations');
  });

  it('says where the highest load is the end of the lab and not of the system', () => {
    const { markdown } = resultsPage({ now });
    expect(markdown).toContain('| bare proxy, `fetch` | ≥ 20000 | 1.00 × |');
    expect(markdown).toContain('| Holdline embedded (`always`) | 17000 | 0.85 × |');
  });

  it('compares what was measured in both runs', () => {
    const faster = SAMPLES.map((one) => (one.system === 'holdline' ? { ...one, micros: 30, bytesPerToken: 20 } : one));
    const { markdown } = resultsPage({ now: { file: 'b.json', results: results(faster) }, before: now });
    expect(markdown).toContain('| Holdline embedded (`always`) | 200 chats × 20 tokens/s | 100 → 30 |');
    expect(markdown).toContain('32 → 20');
  });

  it('shows TLS, idle connections and resumed answers if it is given them', () => {
    const idle = [{ wire: 'sse', connections: 10_000, kbPerConnection: 9.31, cpuPercent: 2, violations: 0 }] as const;
    const resume = { tokens: 5000, eventsMax: 2, resumeP50Ms: 3, resumeP99Ms: 6, healthP50Ms: 1, cpuMsPerResume: 3.5 };
    const { markdown } = resultsPage({
      now,
      tls: { file: 'tls.json', results: { ...results(SAMPLES), searches: [] } },
      idle: { file: 'idle.json', results: idle },
      resume: { file: 'resume.json', results: resume },
    });
    expect(markdown).toContain('## With TLS to the model server');
    expect(markdown).toContain('| SSE | 10000 | 9.3 | 2 % |');
    expect(markdown).toContain('| 5000 | 2 | 3 / 6 | 3.5 |');
  });

  it('shows each of its plots', () => {
    const { markdown, plots } = resultsPage({ now });
    expect([...plots.keys()]).toEqual(['lab-cpu-200x20.svg', 'lab-highest.svg', 'lab-latency.svg']);
    for (const name of plots.keys()) expect(markdown).toContain(`(results/${name})`);
    expect(plots.get('lab-cpu-200x20.svg')).toContain('100 µs');
  });

  it('draws the median p99 of the searches at each load', () => {
    const at = (p99Ms: number): LabResults['searches'][number] => ({
      system: 'holdline',
      round: 0,
      highestPerSecond: 1000,
      isAtLeast: false,
      steps: [{ ...WINDOW, offeredPerSecond: 1000, p99Ms }],
    });
    const plotOf = (...p99s: number[]): string | undefined =>
      resultsPage({ now: { ...now, results: { ...now.results, searches: p99s.map(at) } } }).plots.get(
        'lab-latency.svg',
      );
    expect(plotOf(1, 10, 1000)).toBe(plotOf(10));
    expect(plotOf(1)).not.toBe(plotOf(10));
  });
});

describe('a plot', () => {
  /** What a browser would refuse, or draw outside of the picture. */
  function faults(svg: string): string[] {
    const width = Number(/width="(\d+)"/.exec(svg)?.[1]);
    const ends = [...svg.matchAll(/<rect x="([\d.]+)"[^>]*? width="([\d.]+)"/g)].map(
      ([, x, w]) => Number(x) + Number(w),
    );
    return [
      ...(/NaN|undefined|Infinity/.test(svg) ? ['not a number'] : []),
      ...ends.filter((end) => end > width).map((end) => `a bar ends at ${end}`),
      ...(svg.replace(/<[^<>]*>/g, '').includes('<') ? ['a tag is not closed'] : []),
    ];
  }

  const bar = (label: string, ...parts: number[]): { label: string; parts: number[]; text: string } => ({
    label,
    parts,
    text: `${parts[0] ?? 0} µs`,
  });

  it('draws each bar in proportion, its parts one behind the other', () => {
    const svg = barPlot({ title: 'CPU', bars: [bar('a', 50, 50), bar('b', 50)], legend: ['Node', 'Redis'] });
    const rects = [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g)].map((match) =>
      match.slice(1).map(Number),
    );
    expect(rects[0]?.[2]).toBe(rects[2]?.[2]);
    expect(rects[1]?.[0]).toBe((rects[0]?.[0] ?? 0) + (rects[0]?.[2] ?? 0));
    expect(svg).toContain('>Redis</text>');
    expect(faults(svg)).toEqual([]);
  });

  it('draws nothing that is no number where there are no figures', () => {
    expect(faults(barPlot({ title: 'CPU', bars: [], legend: [] }))).toEqual([]);
    expect(faults(linePlot({ title: 'p99', xTitle: 'x', yTitle: 'y', lines: [], bound: 100 }))).toEqual([]);
  });

  it('has a line for each system, and the bound', () => {
    const lines = [
      {
        label: 'a',
        points: [
          [1000, 1],
          [2000, 1000],
        ] as const,
      },
      { label: 'b', points: [[1000, 0]] as const },
    ];
    const svg = linePlot({ title: 'p99', xTitle: 'load', yTitle: 'ms', lines, bound: 100 });
    expect([...svg.matchAll(/<path d="([^"]+)"/g)].map(([, path]) => path)).toEqual(['M280 340L500 40', 'M280 340']);
    expect(svg).toContain('stroke-dasharray');
    expect(faults(svg)).toEqual([]);
  });

  it('shows labels as they are, and has colours for a dark page', () => {
    const svg = barPlot({ title: 'a < b & "c"', bars: [bar('<script>', 1)], legend: [] });
    expect(svg).toContain('a &lt; b &amp; &quot;c&quot;');
    expect(svg).not.toContain('<script>');
    expect(svg).toContain('prefers-color-scheme:dark');
  });
});
