// Clients that need Node 22 or later (ai 7, openai 7), in test/node24 with its own lockfile, under Node 24. Skipped,
// with the reason printed, where Node 24 or the registry cannot be had.
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { INSTALL_MS, installNode24, play } from '../support/node24.ts';
import { timeLimit } from '../support/slowness.ts';

const POLL_MS = 5;

let missing: string | undefined;

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
      missing = await installNode24();
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

  it(
    'openai 7 streams a completion, reads it later, and makes a session',
    { timeout: timeLimit(60_000) },
    async ({ skip }) => {
      if (missing !== undefined) skip(missing);
      const { env, answers } = await start('openai');
      expect(await play('openai.mjs', env, answers.continue)).toEqual([
        { what: 'completion', text: 'Hello you.', reason: 'stop' },
        { what: 'later', text: 'Hello you.', isSame: true },
        { what: 'session', status: 'in_progress', environment: 'none' },
        { what: 'turn', status: 'cancelled' },
      ]);
    },
  );
});
