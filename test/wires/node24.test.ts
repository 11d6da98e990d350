// Clients that need Node 22 or later (ai 7, openai 7), in test/node24 with its own lockfile, under Node 24. Skipped,
// with the reason printed, where Node 24 or the registry cannot be had.
import { execFile, spawn } from 'node:child_process';
import { cpSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { timeLimit } from '../support/slowness.ts';

const FOLDER = fileURLToPath(new URL('../node24', import.meta.url));
const INSTALLED = fileURLToPath(new URL('../../node_modules/.cache/holdline-node24', import.meta.url));
const NODE = ['-y', '-p', 'node@24', 'node'];
/** In ms. For the packages and Node 24, where they are not there yet. */
const INSTALL_MS = 120_000;

const POLL_MS = 5;

let missing: string | undefined;

/** Not into the folder itself: tests and checks read every file below `test`. */
async function install(): Promise<string | undefined> {
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

/** Runs a program of the folder to its end. `onContinue`: it lets the answer go on. */
async function play(file: string, env: NodeJS.ProcessEnv, onContinue: () => void): Promise<unknown[]> {
  const child = spawn('npx', [...NODE, file], { cwd: INSTALLED, env: { ...process.env, ...env }, detached: true });
  onTestFinished(() => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  });
  const seen: unknown[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'continue') onContinue();
    else seen.push(JSON.parse(line));
  });
  let faults = '';
  child.stderr.on('data', (text: Buffer) => (faults += text.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, faults]).toEqual([0, '']);
  return seen;
}

/** Answers the runs of these chats one after another: `Hello `, and when the program says so, `you.`. A run that is
 *  stopped ends. */
class Answers {
  readonly #h: Harness;
  #mayContinue = false;
  #isOver = false;

  constructor(h: Harness, ...chats: readonly string[]) {
    this.#h = h;
    onTestFinished(() => void (this.#isOver = true));
    void this.#answerAll(chats);
  }

  readonly continue = (): void => void (this.#mayContinue = true);

  async #answerAll(chats: readonly string[]): Promise<void> {
    for (const chat of chats) {
      let runId: string | undefined;
      while (runId === undefined && !this.#isOver) {
        runId = (await this.#state(chat))?.runId;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      if (runId !== undefined) await this.#answer(chat, runId);
    }
  }

  async #answer(chat: string, runId: string): Promise<void> {
    const run = await FakeRun.take(this.#h, chat, runId);
    await run.say('Hello ');
    while (!this.#mayContinue && !this.#isOver) {
      if ((await this.#state(chat))?.state === 'cancelling') return run.cancelled('ann');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.#mayContinue = false;
    await run.say('you.');
    await run.complete();
  }

  async #state(sessionId: string) {
    return (await this.#h.commandLog.load({ tenant: 'default', sessionId }))?.state.runs[0];
  }
}

describe('clients that need Node 22 or later', () => {
  beforeAll(
    async () => {
      missing = await install();
      if (missing !== undefined) console.warn(`SKIPPED: ai 7 and openai 7 are not tested: ${missing}`);
    },
    timeLimit(2 * INSTALL_MS),
  );

  async function start(...chats: readonly string[]) {
    const h = await startHarness();
    const { url } = await h.listen();
    return { env: { BASE_URL: url, TOKEN: h.token('ann') }, answers: new Answers(h, ...chats) };
  }

  it(
    'ai 7 shows whole answers, resumes a cut one, and sees a stop',
    { timeout: timeLimit(60_000) },
    async ({ skip }) => {
      if (missing !== undefined) skip(missing);
      const { env, answers } = await start('whole', 'whole', 'cut', 'stop');
      const seen = await play('use-chat.mjs', env, answers.continue);
      const whole = { status: 'ready', text: 'Hello you.' };
      expect(seen).toEqual([
        { what: 'turn 1', ...whole, messages: 2 },
        { what: 'turn 2', ...whole, messages: 4 },
        { what: 'cut', ...whole, messages: 2 },
        { what: 'second', ...whole, messages: 1 },
        { what: 'stop', status: 'ready', text: 'Hello ', messages: 2 },
      ]);
    },
  );

  it('openai 7 streams a completion, and reads it later', { timeout: timeLimit(60_000) }, async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const { env, answers } = await start('openai');
    expect(await play('openai.mjs', env, answers.continue)).toEqual([
      { what: 'completion', text: 'Hello you.', reason: 'stop' },
      { what: 'later', text: 'Hello you.', isSame: true },
    ]);
  });
});
