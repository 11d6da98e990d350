// The AI SDK over a WebSocket with the real package: pages with ai 7 and its `WebSocketChatTransport`, in
// test/node24/web-socket.mjs.
import { beforeAll, describe, expect, it } from 'vitest';
import type { FakeRun } from '../../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';
import { INSTALL_MS, installNode24, play, type Ask } from '../../support/node24.ts';
import { timeLimit } from '../../support/slowness.ts';
import { eventually } from '../../support/wait-for.ts';
import { takeRun } from './page.ts';
import { askForApproval, finishLeg, WaitingChats } from './waiting-chats.ts';

let missing: string | undefined;

/** The workers of the chats of a program. */
class Workers {
  readonly #h: Harness;
  readonly #runs = new Map<string, FakeRun>();
  readonly #node: WaitingChats;

  constructor(h: Harness) {
    this.#h = h;
    this.#node = new WaitingChats(h);
  }

  readonly answer = async ([what, chat, ...args]: Ask): Promise<void> => {
    const id = String(chat);
    if (what === 'askApproval') return askForApproval(await this.#node.begun(id));
    if (what === 'finishLeg') return finishLeg(await this.#node.begun(id));
    if (what === 'take') {
      this.#runs.set(id, await takeRun(this.#h, id));
      return;
    }
    const run = this.#runs.get(id);
    if (run === undefined) throw new Error(`nobody works on ${id}`);
    switch (what) {
      case 'say':
        return run.say(...args.map(String));
      case 'complete':
        return run.complete();
      case 'cancelled':
        return run.cancelled('ann');
      case 'fail':
        return run.fail({ code: 'model-failed', message: 'the model has failed', retryable: true });
      case 'takeOver':
        return run.dropFrom(Number(args[0]), { takesOver: true });
      case 'untilCancelling':
        return this.#untilCancelling(id);
      default:
        throw new Error(`no such work: ${what}`);
    }
  };

  async #untilCancelling(sessionId: string): Promise<void> {
    const ref = { tenant: 'default', sessionId };
    await eventually(async () => {
      await this.#h.clock.advance(100);
      return (await this.#h.commandLog.load(ref))?.state.runs[0]?.state === 'cancelling';
    });
  }
}

async function run(scenario: string, env: NodeJS.ProcessEnv = {}) {
  const h = await startHarness();
  const { url, port } = await h.listen();
  const WS_URL = `ws://127.0.0.1:${port}/api/chat/ws`;
  const seen = await play(
    'web-socket.mjs',
    { BASE_URL: url, WS_URL, TOKEN: h.token('ann'), SCENARIO: scenario, ...env },
    new Workers(h).answer,
  );
  // No scenario may make work for the log of defects.
  expect(h.logged.filter((line) => line.includes('"level":50'))).toEqual([]);
  return seen;
}

describe('pages with ai 7 over a WebSocket', { timeout: timeLimit(60_000) }, () => {
  beforeAll(
    async () => {
      missing = await installNode24();
      if (missing !== undefined) console.warn(`SKIPPED: ai 7 over a WebSocket is not tested: ${missing}`);
    },
    timeLimit(2 * INSTALL_MS),
  );

  const scenario = (name: string, file: string, expected: readonly object[], env?: NodeJS.ProcessEnv): void => {
    it(name, async ({ skip }) => {
      if (missing !== undefined) skip(missing);
      expect(await run(file, env)).toEqual(expected);
    });
  };

  scenario('show two whole answers over one socket', 'wholeAnswers', [
    { what: 'turn 1', status: 'ready', text: 'Hello number 1', messages: 2 },
    { what: 'turn 2', status: 'ready', text: 'Hello number 2', messages: 4 },
  ]);

  it('have exactly the answer when their sockets break at 24 random places and they resume', async ({ skip }) => {
    if (missing !== undefined) skip(missing);
    const seed = process.env['HOLDLINE_SEED'] ?? String(Math.floor(Math.random() * 2 ** 32));
    console.info(`seed ${seed}`);
    const seen = await run('cutAndResumed', { SEED: seed });
    expect(seen).toHaveLength(24);
    expect(seen.filter(({ wasCut }) => wasCut === true).length, `seed ${seed}`).toBeGreaterThan(8);
  });

  scenario('show the same answer to a second viewer', 'secondViewer', [
    { what: 'second viewer', status: 'ready', text: 'Hello you.', messages: 2 },
  ]);

  scenario('keep what was said when the run is stopped', 'stopped', [
    { what: 'stopped', status: 'ready', text: 'Hello ', messages: 2 },
    { what: 'stopped, seen by another', status: 'ready', text: 'Hello ', messages: 1 },
  ]);

  scenario('only leave the answer with `stop()`, and read it later', 'leftAndReadLater', [
    { what: 'read later', status: 'ready', text: 'Hello you.', messages: 2 },
    { what: 'held already', status: 'ready', text: '', messages: 0 },
  ]);

  scenario('show the failure of a run as their error', 'failed', [
    { what: 'failed', status: 'error', text: 'Hello ', messages: 2, error: 'the model has failed (model-failed)' },
  ]);

  scenario('go on beside a request with a wrong token', 'wrongToken', [
    { what: 'wrong token', status: 'error', text: '', messages: 1, error: expect.stringContaining('token') as string },
    { what: 'beside a wrong token', status: 'ready', text: 'Hello you.', messages: 2 },
  ]);

  scenario('show a takeover only where it says something else', 'takenOver', [
    { what: 'takeover, same text', status: 'ready', text: 'Hello you. Bye.', messages: 2 },
    { what: 'takeover, other text', status: 'ready', text: 'Hello there.', messages: 2 },
  ]);

  scenario('ask for an approval and continue the same message with its answer, over HTTP as well', 'waited', [
    { what: 'socket: approval-requested', status: 'ready', text: 'Booking. ', messages: 2 },
    { what: 'socket: output-available', status: 'ready', text: 'Booking. Done.', messages: 2 },
    { what: 'http: approval-requested', status: 'ready', text: 'Booking. ', messages: 2 },
    { what: 'http: output-available', status: 'ready', text: 'Booking. Done.', messages: 2 },
  ]);

  scenario('stop the run with `stop()` where their URL says so', 'abortStops', [
    { what: 'abort stops', status: 'ready', text: 'Hello ', messages: 2 },
  ]);
});
