// Style that a machine can hold: layers, cycles, sizes, file headers, names.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importCycles, layerViolations, roomCycles, type SourceFile } from './layers.ts';

const ROOT = join(import.meta.dirname, '..');
const FILE_LINES_MAX = 400;
const ROOM_FILES_MAX = 15;
const COMMENT_COLUMNS_MAX = 120;

function sources(folder: string, base = folder, ending = /(?<!\.d)\.ts$/): SourceFile[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(join(ROOT, base), path), text: readFileSync(path, 'utf8') }));
}

const src = sources('src');

// Relative clauses without a noun, and human verbs for what a machine does: a comment names the actor and the act.
const VAGUE =
  /\b(?:for|to|by) who\b|\bstands? (?:in|at|there|for)\b|\b(?:is|are) told\b|\bhears?\b|\banew\b|\bwhatever it\b|\blets? go\b|\bnobody asks\b|\bfor ever\b|\bgoes on\b/gi;

/** The words in comments that say too little. Line breaks within a comment count as spaces. */
function vagueWords(text: string): string[] {
  const comments = text.match(/(?:^|\s)\/\*[^]*?\*\/|(?:^|\s)\/\/.*(?:\n\s*\/\/.*)*/g) ?? [];
  return comments.flatMap((comment) => comment.replace(/\s*\n\s*(?:\*|\/\/)?\s*/g, ' ').match(VAGUE) ?? []);
}

/** A line of a comment, of a Lua script too, or code with a comment behind it. */
const COMMENT_LINE = /^\s*(?:\/\/|\/\*|\* |-- )|\s\/\/ /;

/** The comment lines that are too wide for two files side by side. */
function wideComments({ path, text }: SourceFile): string[] {
  return text
    .split('\n')
    .flatMap((line, i) => (line.length > COMMENT_COLUMNS_MAX && COMMENT_LINE.test(line) ? [`${path}:${i + 1}`] : []));
}

describe('the structure', () => {
  it('imports one way only', () => {
    expect(layerViolations(src)).toEqual([]);
  });

  it('has no import cycles', () => {
    expect(importCycles(src)).toEqual([]);
  });

  it('has no cycle among its rooms', () => {
    expect(roomCycles()).toEqual([]);
  });

  it('has no room of more than fifteen files', () => {
    const files = src.map(({ path }) => dirname(path));
    expect(
      [...new Set(files)].filter((folder) => files.filter((other) => other === folder).length > ROOM_FILES_MAX),
    ).toEqual([]);
  });

  it.each([
    ['broker/log/x.ts', "import { a } from '../../session/errors.ts';"],
    ['broker/log/format/x.ts', "import { a } from '../topics/topic.ts';"],
    ['broker/x.ts', "import { a } from './log/limits.ts';"],
    ['broker/redis/x.ts', "import type { A } from '../log/limits.ts';"],
    ['session/events/x.ts', "import type { A } from '../history/history.ts';"],
    ['session/x.ts', "import type { A } from '../stream/event-sink.ts';"],
    ['stream/x.ts', "import type { FastifyReply } from 'fastify';"],
    ['worker/x.ts', "import {\n  b,\n} from '../gateway/app.ts';"],
    ['worker/run/x.ts', "import { b } from '../worker.ts';"],
    ['client/x.ts', "import type { Clock } from '../base/clock.ts';"],
    ['client/http/x.ts', "import type { Chat } from '../chat.ts';"],
    ['gateway/x.ts', "export { Redis } from 'ioredis';"],
    ['gateway/x.ts', "const late = await import('../worker/worker.ts');"],
    ['gateway/auth/x.ts', "import type { HttpApp } from '../http/http-app.ts';"],
  ])('a wrong import planted in %s is found', (path, text) => {
    expect(layerViolations([...src, { path, text }])).toHaveLength(1);
  });

  it('a planted cycle is found', () => {
    const planted = [
      { path: 'broker/a.ts', text: "import { b } from './b.ts';" },
      { path: 'broker/b.ts', text: "import type { A } from './a.ts';" },
    ];
    expect(importCycles(planted)).toHaveLength(1);
  });
});

describe('every source file', () => {
  it('says at its top what it owns', () => {
    expect(src.filter(({ text }) => !text.replace(/^#!.*\n/, '').startsWith('// ')).map(({ path }) => path)).toEqual(
      [],
    );
  });

  it(`fits a head: at most ${FILE_LINES_MAX} lines`, () => {
    expect(src.filter(({ text }) => text.split('\n').length > FILE_LINES_MAX).map(({ path }) => path)).toEqual([]);
  });

  it('is named for its noun, in kebab case, and is no drawer', () => {
    const bad = src.filter(
      ({ path }) =>
        !/^[a-z0-9-]+\.ts$/.test(basename(path)) ||
        /^(utils?|helpers?|types|index|misc|common)\.ts$/.test(basename(path)),
    );
    expect(bad.map(({ path }) => path)).toEqual([]);
  });

  it('leaves nothing for later without an issue, and silences no check without a reason', () => {
    const marks = /\b(TODO|FIXME|XXX|HACK)\b|@ts-ignore|@ts-expect-error(?! \S)|eslint-disable(?!-next-line \S+ -- )/;
    expect(src.filter(({ text }) => marks.test(text)).map(({ path }) => path)).toEqual([]);
  });
});

describe('every file of src and test', () => {
  const ending = /\.(?:ts|tsx|js|mjs)$/;
  const every = [...sources('src', '.', ending), ...sources('test', '.', ending)];

  it('has comments in plain English', () => {
    const bad = every
      .filter(({ path }) => path !== 'test/tidy.test.ts')
      .flatMap(({ path, text }) => vagueWords(text).map((words) => `${path}: ${words}`));
    expect(bad).toEqual([]);
  });

  it.each([
    ['// For who follows thousands of topics.', 'For who'],
    ['/** The key that\n *  stands there, and\n *  lets\n *  go of it. */', 'stands there'],
    ['const a = 1; // Until it is known anew.', 'anew'],
  ])('a vague comment planted as %j is found', (comment, words) => {
    expect(vagueWords(`${comment}\nconst b = 'no comment: nobody asks';`)).toContain(words);
  });

  it(`has no comment line above ${COMMENT_COLUMNS_MAX} columns`, () => {
    expect(every.flatMap(wideComments)).toEqual([]);
  });

  it.each(['// ', '/** ', ' *  ', '  -- ', 'const a = 1; // '])(
    'a wide comment planted behind %j is found',
    (begin) => {
      const fits = begin.padEnd(COMMENT_COLUMNS_MAX, 'x');
      const code = `const text = '${'x'.repeat(COMMENT_COLUMNS_MAX)}';`;
      expect(wideComments({ path: 'src/a.ts', text: `${fits}\n${code}\n${fits}x\n` })).toEqual(['src/a.ts:3']);
    },
  );
});

describe('every test file', () => {
  it('takes its time-outs from timeLimit() of test/support/slowness.ts, so that a busy machine has more time', () => {
    const literal =
      /\b(?:testTimeout|hookTimeout|timeout): [0-9_]{3,},? ?[}\n]|^ *\}, [0-9][0-9_]{2,}\);|\bvi\.waitFor\([^\n]*[^}]\);/m;
    const bad = sources('test', '.').filter(
      ({ path, text }) => path !== 'test/tidy.test.ts' && !path.startsWith('test/torture/') && literal.test(text),
    );
    expect(bad.map(({ path }) => path)).toEqual([]);
  });
});
