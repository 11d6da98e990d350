// The pages against the code and against each other: links, paths, metrics, settings and defaults. PROTOCOL.md has a
// test of its own, test/gateway/protocol-page.test.ts.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SETTINGS } from '../../src/cli/config/settings.ts';
import { DRAIN_MS, readConfig } from '../../src/cli/config/config.ts';
import * as gateway from '../../src/gateway/gateway-config.ts';
import { METRICS } from '../../src/gateway/metrics.ts';
import { CONVERSATION_CHARS_MAX, RUN_MS_MAX } from '../../src/worker/agent.ts';
import { LEASE_MS, RUNS_MAX } from '../../src/worker/worker.ts';
import { commandFaults, shellCommandsOf } from '../support/shell-commands.ts';
import { anchorsOf, linksOf, pathsOf, quoted, stationsOf, tableRows } from '../support/markdown-pages.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const examples = readdirSync(join(ROOT, 'examples'))
  .map((name) => join('examples', name, 'README.md'))
  .filter((path) => existsSync(join(ROOT, path)));
const pages = [
  ...readdirSync(ROOT),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
  join('load', 'README.md'),
  join('load', 'RESULTS.md'),
  join('examples', 'README.md'),
  ...examples,
].filter((path) => path.endsWith('.md'));

describe('every page', () => {
  it('links to files and headings that exist', () => {
    const broken = pages.flatMap((page) =>
      linksOf(read(page)).flatMap(({ target, anchor }) => {
        const path = target === '' ? page : normalize(join(dirname(page), target));
        const isThere = existsSync(join(ROOT, path)) && (anchor === undefined || anchorsOf(read(path)).has(anchor));
        return isThere ? [] : [`${page}: ${target}${anchor === undefined ? '' : `#${anchor}`}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it('names only paths that exist', () => {
    // Decisions and changes name files as they were then.
    const current = pages.filter((page) => !page.startsWith('docs/adr/') && page !== 'CHANGELOG.md');
    const missing = current.flatMap((page) =>
      pathsOf(read(page)).flatMap((path) =>
        // From the repository, or from the page's own folder.
        [ROOT, join(ROOT, dirname(page))].some((folder) => existsSync(join(folder, path))) ? [] : [`${page}: ${path}`],
      ),
    );
    expect(missing).toEqual([]);
  });

  it('is on the map', () => {
    const linked = linksOf(read('docs/README.md')).map(({ target }) => normalize(join('docs', target)));
    // The README of an example belongs to the example.
    const mapped = pages.filter(
      (page) => !page.startsWith('docs/adr/') && !examples.includes(page) && page !== 'docs/README.md',
    );
    expect(linked.filter((target) => target !== 'docs/adr').toSorted()).toEqual(mapped.toSorted());
  });
});

describe('the README of an example', () => {
  it.each(examples)('%s names only commands that exist', (page) => {
    const commands = shellCommandsOf(read(page));
    expect(commands.length).toBeGreaterThan(0);
    expect(commandFaults(commands, ROOT)).toEqual([]);
  });

  it('is refused for a script, a command, a folder, a file and a setting that do not exist', () => {
    const wrong = [
      'npm run gone',
      'npx holdline toke --sub you',
      'cd examples/gone',
      'node examples/gone.js',
      'TOKEN=$(npx holdline gone) examples/curl/gone.sh trip',
      'HOLDLINE_GONE=1 npm run agents',
      'yarn start',
      '.venv/bin/python gone.py',
      '.venv/bin/pip install -r gone.txt',
    ];
    expect(commandFaults(wrong, ROOT)).toHaveLength(wrong.length + 1);
  });
});

describe('ARCHITECTURE.md', () => {
  it('names stations whose file declares the named symbol', () => {
    const stations = stationsOf(read('ARCHITECTURE.md'));
    expect(stations.length).toBeGreaterThanOrEqual(16);
    const missing = stations.filter(({ file, symbol }) => {
      const path = join(ROOT, 'src', file);
      if (!existsSync(path)) return true;
      const declaration = new RegExp(
        `(function|class|const|interface)\\*? ${symbol}\\b|^  (readonly |async |static |private )*#?\\*?${symbol}(\\(|<| =)`,
        'm',
      );
      return !declaration.test(readFileSync(path, 'utf8'));
    });
    expect(missing).toEqual([]);
  });
});

describe('docs/operating.md', () => {
  it('lists the metrics that a node shows, and no others', () => {
    const listed = tableRows(read('docs/operating.md'), 'metric').map(([name]) => quoted(name)[0]);
    expect(listed.toSorted()).toEqual(
      Object.values(METRICS)
        .map(([name]) => name)
        .toSorted(),
    );
  });

  it('names no metric that no node shows', () => {
    const names = new Set<string>(Object.values(METRICS).map(([name]) => name));
    const used = pages.flatMap((page) =>
      page === 'CHANGELOG.md' || page.startsWith('docs/adr/')
        ? []
        : [...read(page).matchAll(/\bholdline_[a-z_]+\b/g)].map(([name]) => name),
    );
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  });
});

describe('README.md', () => {
  const rows = tableRows(read('README.md'), 'variable');

  it('lists the settings that are read, and no others', () => {
    expect(rows.flatMap(([names]) => quoted(names)).toSorted()).toEqual([...SETTINGS].toSorted());
  });

  it.each([
    ['HOLDLINE_CONVERSATION_CHARS', CONVERSATION_CHARS_MAX],
    ['HOLDLINE_RUN_MS_MAX', RUN_MS_MAX],
    ['HOLDLINE_SUBSCRIPTIONS_PER_USER', gateway.SUBSCRIPTIONS_PER_USER_MAX],
    ['HOLDLINE_TICKETS_PER_USER', gateway.TICKETS_PER_USER_MAX],
    ['HOLDLINE_SESSIONS_PER_USER', gateway.SESSIONS_PER_USER_MAX],
    ['HOLDLINE_RUNS_PER_USER', gateway.RUNS_PER_USER_MAX],
    ['HOLDLINE_RUNS', RUNS_MAX],
    ['HOLDLINE_LEASE_MS', LEASE_MS],
    ['HOLDLINE_CONNECTIONS_PER_USER', gateway.CONNECTIONS_PER_USER_MAX],
    ['HOLDLINE_CONNECTIONS_PER_ADDRESS', gateway.CONNECTIONS_PER_ADDRESS_MAX],
    ['HOLDLINE_DRAIN_MS', DRAIN_MS],
  ])('gives the default of %s', (name, value) => {
    const [names, defaults = ''] = rows.find(([cell]) => quoted(cell).includes(name)) ?? [];
    expect(defaults.split(';')[quoted(names).indexOf(name)]?.trim().replaceAll(',', '')).toBe(String(value));
  });

  const onRedis = { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_JWT_SECRET: 'x'.repeat(32) };
  const spelled = rows.flatMap(([names, defaults = '']) =>
    quoted(names).flatMap((name, i) => {
      const value = /^`([^`]+)`$/.exec(defaults.split(';')[i]?.trim() ?? '')?.[1];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );

  it('spells out at least the defaults of the settings that choose between words', () => {
    expect(spelled.map(([name]) => name)).toEqual(
      expect.arrayContaining(['HOST', 'PORT', 'HOLDLINE_FSYNC', 'HOLDLINE_PROMISE', 'HOLDLINE_SESSION_TTL']),
    );
  });

  it.each(spelled)('gives the default of %s as a value that changes nothing: %s', (name, value) => {
    const base = name === 'HOLDLINE_PROMISE' ? onRedis : {};
    expect(readConfig({ ...base, [name]: value })).toEqual(readConfig(base));
  });
});
