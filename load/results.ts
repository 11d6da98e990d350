// What every file of load/results begins with, and where it is written. It does not measure anything.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Run {
  readonly date: string;
  readonly commit: string;
  readonly machine: Readonly<Record<string, string | number>>;
}

/** The day, the commit of the working copy, and this machine. */
export function describeRun(): Run {
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
    machine: {
      node: process.version,
      cores: cpus().length,
      cpu: cpus()[0]?.model ?? '',
      memoryGb: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
    },
  };
}

/** Writes the results as JSON and returns the text. `suffix`: follows date and commit in the name of the file in
 *  load/results. `path`: another file. */
export function keepResults(
  results: Run & Readonly<Record<string, unknown>>,
  suffix = '',
  path = pathOf(results, suffix),
): string {
  const text = JSON.stringify(results, null, 2);
  writeFileSync(path, `${text}\n`);
  return text;
}

function pathOf({ date, commit }: Run, suffix: string): string {
  const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();
  return join(root, `load/results/${date}-${commit}${suffix}.json`);
}
