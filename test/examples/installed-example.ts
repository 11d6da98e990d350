// An example as its users have it: its files alone in a new folder, with what its lockfile says.
import { cpSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { diskFolder } from '../setup/temporary-folder.ts';
import { Child, childEnv } from '../support/child.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

export class InstalledExample {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** `instead`: packages of other versions than those of the lockfile. */
  static async install(name: string, instead: readonly string[] = []): Promise<InstalledExample> {
    // Packages are large, so they are not in memory.
    const folder = mkdtempSync(join(diskFolder(), `holdline-${name}-`));
    cpSync(join(EXAMPLES, name), folder, { recursive: true, filter: (path) => !path.includes('node_modules') });
    const example = new InstalledExample(folder);
    const options = ['--prefer-offline', '--no-audit', '--no-fund'];
    await example.done('npm', ['ci', ...options]);
    if (instead.length > 0) await example.done('npm', ['install', '--no-save', ...options, ...instead]);
    return example;
  }

  run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    return new Child(program, args, { cwd: this.folder, env: childEnv(env) });
  }

  /** Runs it to its end, and resolves to what it printed. @throws unless it exits with 0 */
  async done(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const child = this.run(program, args, env);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} exits with ${code}:\n${child.lines.join('\n')}`);
    return child.stdout;
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
