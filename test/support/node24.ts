// Programs with clients that need Node 22 or later (ai 7, openai 7), in test/node24 with its own lockfile, under Node
// 24. A program prints one JSON line for each thing that it saw. It asks for work of the test with a line
// `{"ask": [...]}`, and reads the answer as a line from its input.
import { execFile, spawn } from 'node:child_process';
import { cpSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { timeLimit } from './slowness.ts';

const FOLDER = fileURLToPath(new URL('../node24', import.meta.url));
const INSTALLED = fileURLToPath(new URL('../../node_modules/.cache/holdline-node24', import.meta.url));
const NODE = ['-y', '-p', 'node@24', 'node'];
/** In ms. For the packages and Node 24, where they are not there yet. */
export const INSTALL_MS = 120_000;

/** Returns why they cannot be had, or undefined. Not into the folder itself: tests and checks read every file below
 *  `test`. */
export async function installNode24(): Promise<string | undefined> {
  const run = promisify(execFile);
  const options = { cwd: INSTALLED, timeout: timeLimit(INSTALL_MS) };
  try {
    cpSync(FOLDER, INSTALLED, { recursive: true, preserveTimestamps: true });
    await run('npx', [...NODE, '--version'], options);
    if (!isInstalled())
      await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], options);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? 'unknown') : String(error);
  }
}

/** npm writes its hidden lockfile at the end of an installation. */
function isInstalled(): boolean {
  const [wanted, got] = ['package-lock.json', 'node_modules/.package-lock.json'].map((file) =>
    statSync(join(INSTALLED, file), { throwIfNoEntry: false }),
  );
  return wanted !== undefined && got !== undefined && got.mtimeMs >= wanted.mtimeMs;
}

export type Ask = readonly [what: string, ...args: readonly unknown[]];

/** Runs a program of the folder to its end, and returns what it saw. `answer`: does what the program asks for. */
export async function play(
  file: string,
  env: NodeJS.ProcessEnv,
  answer: (ask: Ask) => unknown,
): Promise<readonly Record<string, unknown>[]> {
  const child = spawn('npx', [...NODE, file], { cwd: INSTALLED, env: { ...process.env, ...env }, detached: true });
  onTestFinished(() => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  });
  const seen: Record<string, unknown>[] = [];
  let faults = '';
  const serve = async (ask: Ask): Promise<void> => {
    try {
      const given = await answer(ask);
      child.stdin.write(`${JSON.stringify(given ?? null)}\n`);
    } catch (error) {
      faults += `${ask.join(' ')}: ${String(error)}\n`;
      child.stdin.end();
    }
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const told = JSON.parse(line) as Record<string, unknown>;
    if (Array.isArray(told['ask'])) void serve(told['ask'] as unknown as Ask);
    else seen.push(told);
  });
  child.stderr.on('data', (text: Buffer) => (faults += text.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, faults]).toEqual([0, '']);
  return seen;
}
