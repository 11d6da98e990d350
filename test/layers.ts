// Which folder of src may import which: one way, type imports included. A pure function of sources, so that the
// check itself can be shown to fail.
import { dirname, join, normalize } from 'node:path';

/** Folder → folders it may import from, besides itself. Files at the top of src are listed by name. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'stop-signal.ts': [],
  'clock.ts': ['stop-signal.ts'],
  'random.ts': [],
  'tracing.ts': ['clock.ts'],
  broker: ['clock.ts', 'stop-signal.ts'],
  session: ['broker', 'clock.ts'],
  stream: ['session', 'broker', 'clock.ts', 'stop-signal.ts'],
  gateway: ['stream', 'session', 'broker', 'clock.ts', 'random.ts', 'stop-signal.ts', 'tracing.ts'],
  worker: ['session', 'broker', 'clock.ts', 'tracing.ts'],
  sdk: ['worker', 'session', 'broker', 'clock.ts', 'random.ts'],
  client: [],
  cli: ['gateway', 'sdk', 'worker', 'stream', 'session', 'broker', 'clock.ts', 'random.ts', 'stop-signal.ts'],
  'main.ts': ['cli', 'sdk', 'clock.ts'],
};

/** Packages that only one folder may know. */
const OWNED_PACKAGES: Readonly<Record<string, string>> = {
  fastify: 'gateway',
  '@fastify/': 'gateway',
  ws: 'gateway',
  jsonwebtoken: 'gateway',
  lmdb: 'broker',
  ioredis: 'broker',
  'eventsource-parser': 'worker',
  '@opentelemetry/': 'tracing.ts',
};

export interface SourceFile {
  /** Relative to src, with slashes. */
  readonly path: string;
  readonly text: string;
}

export function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^'";]*?from\s+'([^']+)'|import\('([^']+)'\)|(?:^|\n)import\s+'([^']+)'/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  );
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? path;
}

export function layerViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => importsOf(text).flatMap((name) => violation(path, name) ?? []));
}

function violation(path: string, name: string): string | undefined {
  const from = roomOf(path);
  if (!name.startsWith('.')) {
    const owned = Object.entries(OWNED_PACKAGES).find(([known]) => name === known || name.startsWith(known.endsWith('/') ? known : `${known}/`));
    if (owned === undefined || owned[1] === from || (name === 'ws' && from === 'client')) return undefined;
    return `${path} imports ${name}, which only src/${owned[1]} may know`;
  }
  const to = roomOf(normalize(join(dirname(path), name)));
  if (to === from || (MAY_IMPORT[from] ?? []).includes(to)) return undefined;
  return `${path} imports ${name}: src/${from} may not know src/${to}`;
}

/** Import cycles between files, each once, by the names of their files. */
export function importCycles(files: readonly SourceFile[]): string[] {
  const graph = new Map(
    files.map(({ path, text }) => [path, importsOf(text).filter((name) => name.startsWith('.')).map((name) => normalize(join(dirname(path), name)))]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}
