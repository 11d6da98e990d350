// The shell commands of a Markdown page, and which of them this repository does not have.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTINGS } from '../../src/cli/config/settings.ts';

const HOLDLINE_COMMANDS = ['serve', 'worker', 'token', 'topics'];

/** The lines of its `sh` blocks. */
export function shellCommandsOf(page: string): string[] {
  return [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#')),
  );
}

/** What is wrong in the commands, in words. They run in this order, so `cd` changes the folder of the later ones. */
export function commandFaults(commands: readonly string[], root: string): string[] {
  let folder = root;
  const isThere = (path: string): boolean => existsSync(join(folder, path));
  const hasScript = (name: string): boolean => {
    const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { scripts: object };
    return name in scripts;
  };
  const hasLockfile = (command: string): boolean => command === 'ci' && isThere('package-lock.json');
  const isKnown = (words: readonly string[]): boolean => {
    const [program = '', first = '', second = ''] = words;
    if (program === 'npm') return first === 'install' || hasLockfile(first) || (first === 'run' && hasScript(second));
    if (program === 'export') return words.length === 2;
    if (words.join(' ') === 'python3 -m venv .venv') return true;
    if (program === '.venv/bin/pip') return first === 'install' && second === '-r' && isThere(words[3] ?? '');
    if (program === '.venv/bin/python') return isThere(first);
    if (program === 'npx') return first === 'holdline' && HOLDLINE_COMMANDS.includes(second);
    if (program === 'node') return isThere(first);
    if (program !== 'cd') return isThere(program);
    if (!isThere(first)) return false;
    folder = join(folder, first);
    return true;
  };
  return commands.flatMap((command) => {
    const inner = [...command.matchAll(/\$\(([^)]*)\)/g)].map(([, text = '']) => text);
    const words = command.replaceAll(/\$\([^)]*\)/g, '').split(' ');
    const program = words.findIndex((word) => !/^[A-Z_]+=/.test(word));
    const settings = words.slice(0, program < 0 ? undefined : program).map((word) => word.split('=')[0] ?? '');
    return [
      ...settings
        .filter((name) => name.startsWith('HOLDLINE_') && !(SETTINGS as readonly string[]).includes(name))
        .map((name) => `${name} is no setting`),
      ...inner.filter((text) => !isKnown(text.split(' '))),
      ...(program < 0 || isKnown(words.slice(program)) ? [] : [command]),
    ];
  });
}
