// The start of an agent's threads, from the build and with a clock of the test: a thread runs the compiled module only.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { AgentChat } from '../../src/sdk/agent-handler.ts';
import { AgentWriter } from '../../src/sdk/agent-writer.ts';
import type * as agentThreads from '../../src/sdk/threads/agent-threads.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { timeLimit } from '../support/slowness.ts';

vi.setConfig({ testTimeout: timeLimit(10_000) });

const BUILT = new URL('../../dist/sdk/threads/agent-threads.js', import.meta.url).href;
const { AgentThreads, LOAD_MS_MAX } = (await import(BUILT)) as typeof agentThreads;

/** Its module never finishes loading while `flag` exists. */
const MODULE = (flag: string): string => `
import { existsSync } from 'node:fs';
if (existsSync(${JSON.stringify(flag)})) { setInterval(() => {}, 1000); await new Promise(() => {}); }
export const agent = (chat, writer, signal) =>
  chat.prompt === 'wait' && new Promise((resolve) => signal.addEventListener('abort', resolve));
`;

type Lost = Parameters<agentThreads.ThreadsDeps['onLost']>[0];

class Rig {
  readonly clock = new ManualClock();
  readonly lost: Lost[] = [];
  readonly #flag: string;
  readonly threads: InstanceType<typeof AgentThreads>;
  readonly #stop = new AbortController();

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'holdline-thread-starts-'));
    this.#flag = join(folder, 'flag');
    writeFileSync(join(folder, 'agent.mjs'), MODULE(this.#flag));
    const onLost = (why: Lost): void => void this.lost.push(why);
    this.threads = new AgentThreads(pathToFileURL(join(folder, 'agent.mjs')), 2, { clock: this.clock, onLost });
    onTestFinished(async () => {
      this.#stop.abort();
      const closed = this.threads.close();
      await this.clock.advance(LOAD_MS_MAX);
      await closed;
      rmSync(folder, { recursive: true });
    });
  }

  hang(): void {
    writeFileSync(this.#flag, '');
  }

  recover(): void {
    rmSync(this.#flag);
  }

  async ask(prompt: string): Promise<void> {
    const chat: AgentChat = {
      tenant: 't',
      sessionId: 's',
      runId: 'r',
      attempt: 1,
      model: 'm',
      messages: [],
      prompt,
      prefix: '',
      leg: 0,
      answer: () => undefined,
      ask: () => Promise.reject(new Error('asks nobody')),
    };
    await this.threads.handler(chat, new AgentWriter({ write: () => Promise.resolve() }), this.#stop.signal);
  }
}

it('a first thread whose module does not finish loading fails the start at the limit', async () => {
  const rig = new Rig();
  rig.hang();
  const started = rig.threads.start();
  const failed = expect(started).rejects.toThrow('it has not finished after 30 s');
  await rig.clock.advance(LOAD_MS_MAX);
  await failed;
  expect(rig.clock.timers).toBe(0);
});

it('a later thread whose module does not finish loading ends at the limit, with its run and no other', async () => {
  const rig = new Rig();
  await rig.threads.start();
  const waiting = rig.ask('wait');
  const isOver = vi.fn();
  void waiting.then(isOver, isOver);
  rig.hang();
  const hanging = rig.ask('hello');
  const failed = expect(hanging).rejects.toMatchObject({ code: 'agent-thread-lost', retryable: true });
  await rig.clock.advance(LOAD_MS_MAX - 1);
  expect(rig.lost).toEqual([]);
  await rig.clock.advance(1);
  await failed;
  expect(rig.lost).toMatchObject([{ err: { name: 'LoadTimeoutError' }, runs: 1 }]);
  rig.recover();
  await rig.ask('hello');
  expect(isOver).not.toHaveBeenCalled();
});

it('a thread that has loaded its module has no limit any more', async () => {
  const rig = new Rig();
  await rig.threads.start();
  expect(rig.clock.timers).toBe(0);
});
