// The build as the scripts run it, on a small project of its own: it builds what changed, leaves the rest alone, and
// explains a failure in words.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Child, childEnv } from '../support/child.ts';
import { timeLimit } from '../support/slowness.ts';

// On a busy machine a compiler takes longer.
vi.setConfig({ testTimeout: timeLimit(120_000) });

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OTHER_ENTRIES = [
  'sdk/create-worker.ts',
  'sdk/threads/agent-threads.ts',
  'sdk/threads/thread-main.ts',
  'broker/log/topics/index-thread.js',
  'broker/log/topics/index-walk.js',
];
const UP_TO_DATE = ['holdline: the build is up to date'];
const building = (parts: string): string[] => [`holdline: building what changed: ${parts}`];

class SmallProject {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdline-build-'));

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true }));
    for (const file of [
      'package.json',
      'package-lock.json',
      'tsconfig.build.json',
      'scripts/build.js',
      'scripts/bundle.js',
      'web-demo/vite.config.ts',
    ]) {
      cpSync(join(ROOT, file), this.path(file));
    }
    // With a small library: most of the time of a compilation goes into the types of the platform.
    this.write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          target: 'ES2022',
          lib: ['ES5'],
          types: [],
          module: 'NodeNext',
          allowJs: true,
          strict: true,
          skipLibCheck: true,
        },
      }),
    );
    this.write('src/main.ts', "import { one } from './one.ts';\nexport const two = one + 1;\n");
    this.write('src/one.ts', 'export const one = 1;\n');
    this.write('src/client/chat-client.ts', 'export const name = "client";\n');
    for (const entry of OTHER_ENTRIES) this.write(`src/${entry}`, 'export const three = 3;\n');
    this.write('web-demo/index.html', '<script type="module" src="./main.ts"></script>\n');
    this.write('web-demo/main.ts', "import { name } from '../src/client/chat-client.ts';\ndocument.title = name;\n");
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  write(file: string, text: string): void {
    mkdirSync(join(this.path(file), '..'), { recursive: true });
    writeFileSync(this.path(file), text);
  }

  install(): this {
    symlinkSync(join(ROOT, 'node_modules'), this.path('node_modules'), 'dir');
    return this;
  }

  async build(): Promise<{ code: number | null; lines: readonly string[] }> {
    const child = new Child(process.execPath, [this.path('scripts/build.js')], { env: childEnv() });
    const { code } = await child.exited;
    return { code, lines: child.lines };
  }

  modified(file: string): number {
    return statSync(this.path(file)).mtimeMs;
  }
}

it('builds everything once, and then nothing until a source changes', async () => {
  const project = new SmallProject().install();
  expect(await project.build()).toEqual({ code: 0, lines: building('code, page') });
  expect(
    ['dist/main.js', 'dist/one.d.ts', 'dist/web-demo/index.html'].map((file) => existsSync(project.path(file))),
  ).toEqual([true, true, true]);
  const first = project.modified('dist/main.js');
  // A new date alone, as after a checkout, is no change.
  utimesSync(project.path('src/one.ts'), new Date(), new Date());
  expect(await project.build()).toEqual({ code: 0, lines: UP_TO_DATE });
  expect(project.modified('dist/main.js')).toBe(first);
});

it('builds only the part that changed', async () => {
  const project = new SmallProject().install();
  await project.build();
  const built = project.modified('dist/client/chat-client.js');
  project.write('web-demo/main.ts', 'document.title = "other";\n');
  expect(await project.build()).toEqual({ code: 0, lines: building('page') });
  project.write('src/one.ts', 'export const one = 11;\n');
  expect(await project.build()).toEqual({ code: 0, lines: building('code') });
  // The compiler records its outputs, so it does not write the unchanged file again.
  expect(project.modified('dist/client/chat-client.js')).toBe(built);
  // The page is built from the client too.
  project.write('src/client/chat-client.ts', 'export const name = "another";\n');
  expect(await project.build()).toEqual({ code: 0, lines: building('code, page') });
  project.write('package-lock.json', '{}');
  expect(await project.build()).toEqual({ code: 0, lines: building('code, page') });
});

it('makes an executable of the main file, also where an earlier one was removed', async () => {
  const project = new SmallProject().install();
  await project.build();
  rmSync(project.path('dist'), { recursive: true });
  await project.build();
  expect(statSync(project.path('dist/main.js')).mode & 0o777).toBe(0o755);
});

it('makes a file of each entry, with the code that entries share beside them', async () => {
  const project = new SmallProject().install();
  const shared =
    "import { one } from '../one.ts';\nexport const place = new URL('./beside.txt', import.meta.url).href + one;\n";
  project.write('src/deep/place.ts', shared);
  project.write('src/main.ts', "import { place } from './deep/place.ts';\nconsole.log(place);\n");
  project.write('src/client/chat-client.ts', "export { place, place as name } from '../deep/place.ts';\n");
  await project.build();
  for (const entry of OTHER_ENTRIES) expect(existsSync(project.path(`dist/${entry.replace(/ts$/, 'js')}`))).toBe(true);
  expect(existsSync(project.path('dist/deep/place.js'))).toBe(false);
  const child = new Child(process.execPath, [project.path('dist/main.js')], { env: childEnv() });
  await child.exited;
  // A module keeps its own place, from which it finds other files.
  expect(child.stdout.trim()).toBe(`${pathToFileURL(project.path('dist/deep/beside.txt')).href}1`);
});

it('refuses a module that would lose its own place', async () => {
  const project = new SmallProject().install();
  project.write('src/client/chat-client.ts', 'export const name = import.meta.url;\n');
  const { code, lines } = await project.build();
  expect(code).toBe(1);
  expect(lines.join('\n')).toContain('src/client/chat-client.ts uses import.meta.url');
});

it('restores a missing output, and removes the outputs of a removed source', async () => {
  const project = new SmallProject().install();
  await project.build();
  for (const output of ['dist/one.d.ts', 'dist/sdk/create-worker.js']) {
    rmSync(project.path(output));
    expect(await project.build()).toEqual({ code: 0, lines: building('code') });
    expect(existsSync(project.path(output))).toBe(true);
  }
  rmSync(project.path('dist/web-demo'), { recursive: true });
  expect(await project.build()).toEqual({ code: 0, lines: building('page') });
  rmSync(project.path('src/one.ts'));
  for (const left of ['dist/chunk-OLD.js', 'dist/chunk-OLD.js.map']) project.write(left, '');
  project.write('src/main.ts', 'export const two = 2;\n');
  expect(await project.build()).toEqual({ code: 0, lines: building('code') });
  expect(
    ['dist/main.js', 'dist/one.d.ts', 'dist/chunk-OLD.js', 'dist/chunk-OLD.js.map'].map((file) =>
      existsSync(project.path(file)),
    ),
  ).toEqual([true, false, false, false]);
  expect(await project.build()).toEqual({ code: 0, lines: UP_TO_DATE });
});

it('fails on a wrong source until the source is repaired', async () => {
  const project = new SmallProject().install();
  await project.build();
  project.write('src/one.ts', 'export const one: string = 1;\n');
  const failed = [await project.build(), await project.build()];
  for (const { code, lines } of failed) {
    expect(code).toBe(1);
    expect(lines.join('\n')).toContain('src/one.ts(1,14): error TS2322');
    expect(lines.at(-1)).toBe('holdline: the build failed: code');
  }
  project.write('src/one.ts', 'export const one = 1;\n');
  expect((await project.build()).code).toBe(0);
});

it('says what to do when nothing is installed', async () => {
  expect(await new SmallProject().build()).toEqual({
    code: 1,
    lines: ['holdline: the packages are not installed: run npm ci first'],
  });
});
