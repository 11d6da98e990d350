// The package as its users get it: packed into a tarball and installed into an empty folder by npm, with no file of
// this repository but the tarball.
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { Child, childEnv } from '../support/child.ts';
import { freePort } from '../support/server-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const command = promisify(execFile);

interface Manifest {
  readonly devDependencies: Readonly<Record<string, string>>;
}

export class InstalledPackage {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Packs today's build, and installs it beside the packages named, in the versions of this repository. */
  static async install(beside: readonly string[]): Promise<InstalledPackage> {
    const folder = mkdtempSync(join(tmpdir(), 'holdline-package-'));
    // `npm pack` would do it too, and print it into its JSON: so a build of yesterday is never what is tested.
    await command(process.execPath, ['scripts/build.js'], { cwd: ROOT, maxBuffer: 16 << 20 });
    const { stdout } = await command('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: ROOT,
      maxBuffer: 16 << 20,
    });
    const [packed] = JSON.parse(stdout) as readonly { readonly filename: string }[];
    if (packed === undefined) throw new Error('npm packed nothing');
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
    const versions = beside.map((name) => `${name}@${devDependencies[name] ?? ''}`);
    writeFileSync(join(folder, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
    await command(
      'npm',
      ['install', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`, ...versions],
      {
        cwd: folder,
        maxBuffer: 16 << 20,
      },
    );
    return new InstalledPackage(folder);
  }

  /** `npx holdline …` in this folder: a short command only, because npx does not end the process that it started when
   *  it is killed. */
  npx(args: readonly string[]): Child {
    return new Child('npx', ['--no-install', 'holdline', ...args], { cwd: this.folder });
  }

  /** What `npx holdline …` runs in this folder. */
  holdline(args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    return new Child(join(this.folder, 'node_modules/.bin/holdline'), args, { cwd: this.folder, env: childEnv(env) });
  }

  /** Starts a server, and resolves to where it is. */
  async serve(env: Readonly<Record<string, string>> = {}): Promise<{ readonly child: Child; readonly url: string }> {
    const port = await freePort();
    const child = this.holdline(['serve'], { PORT: String(port), ...env });
    await child.line(/^holdline serves /);
    return { child, url: `http://127.0.0.1:${port}` };
  }

  async token(env: Readonly<Record<string, string>> = {}): Promise<string> {
    const child = this.holdline(['token', '--sub', 'you'], env);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(child.lines.join('\n'));
    return child.stdout.trim();
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** A copy of an example's files, without its own package.json: what it needs is installed here. */
  copyExample(name: string): void {
    cpSync(join(ROOT, 'examples', name), this.folder, {
      recursive: true,
      filter: (path) => !path.endsWith('package.json') && !path.includes('node_modules'),
    });
  }

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    return new Child(process.execPath, args, { cwd: this.folder, env: childEnv(env) });
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
