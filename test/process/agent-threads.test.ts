// Agents whose module runs in threads, in a server as its users run it. A handler that computes delays no other run, a
// Stop ends it, and a lost thread ends only its own runs.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { Child, childEnv } from '../support/child.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import type { WireRecord } from '../support/wire-record.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const WORDS = 40;
const LOST = { event: 'run.failed', data: { error: { code: 'agent-thread-lost', retryable: true } } };

/** The module does what the prompt names. `compute` runs until the flag file exists. */
const WORK = (flag: string): string => `
import { existsSync } from 'node:fs';
const untilStopped = (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve));
const works = {
  async compute(chat, writer) {
    await writer.text('begun');
    while (!existsSync(${JSON.stringify(flag)}));
    await writer.text(', done');
  },
  async wait(chat, writer, signal) { await writer.text('begun'); await untilStopped(signal); },
  async exit(chat, writer) { await writer.text('begun'); process.exit(3); },
  async throw() { queueMicrotask(() => { throw new RangeError('a secret'); }); await new Promise(() => {}); },
  async stray(chat, writer) { await writer.text('begun'); setTimeout(() => { throw new RangeError('a secret'); }, 1); await new Promise(() => {}); },
  async fill() { const all = []; for (;;) all.push(new Array(100_000).fill(all.length)); },
  async overflow(chat, writer) { for (;;) writer.text('word '.repeat(1000)); },
  async nothing() { throw undefined; },
  async fine(chat, writer) { await writer.text('fine'); },
  async flood(chat, writer) { for (let i = 0; i < 3000; i += 1) await writer.text('word '.repeat(20)); },
  async say(chat, writer) {
    await writer.reasoning('hm');
    await writer.toolCall({ id: 'c1', name: 'weather', arguments: { city: 'Oslo' } });
    await writer.toolResult('c1', { celsius: -4 });
    const asked = await chat.ask('beside', 'count');
    for await (const text of asked) await writer.text(text);
    await writer.text((await asked.answer).length + ' ' + chat.attempt);
    writer.usage({ inputTokens: 3, outputTokens: 4 });
  },
  async unknown(chat) { await chat.ask('nobody', 'hello'); },
  async caught(chat, writer) { await chat.ask('nobody', 'hello').catch((error) => writer.text(error.code)); },
};
export const agent = (chat, writer, signal) => works[chat.prompt](chat, writer, signal);
`;

/** An agent in the event loop of the server. */
const BESIDE = `export async function agent(chat, writer) {
  for (let i = 1; i <= ${WORDS}; i += 1) { await writer.text(i + ' '); await new Promise((resolve) => setTimeout(resolve, 20)); }
}`;
const COUNT = Array.from({ length: WORDS }, (_, i) => `${i + 1} `).join('');

async function served(threads: number): Promise<{ server: ServerProcess; letGo: () => void }> {
  const folder = agentsFolder({ 'beside.js': BESIDE });
  const flag = join(folder, 'flag');
  writeFileSync(join(folder, 'work.js'), WORK(flag));
  const agents = { work: { handler: './work.js', threads }, beside: { handler: './beside.js' } };
  const server = await startedServer({ env: { HOLDLINE_AGENTS: writeAgents(folder, agents) } });
  return { server, letGo: () => writeFileSync(flag, '') };
}

class Watched {
  readonly runId: string;
  readonly sessionId: string;
  readonly story = new JoinedStory();
  readonly #record: WireRecord;

  static async ask(
    server: ServerProcess,
    agent: string,
    content: string,
    sessionId = `${agent}-${content}`,
    token?: string,
  ): Promise<Watched> {
    const { status, body } = await post(server, `${sessionId}/messages`, { content, agent }, token);
    expect(status, JSON.stringify(body)).toBe(202);
    const story = new JoinedStory();
    return new Watched(String(body['runId']), sessionId, story, await follow(server, sessionId, story, token));
  }

  private constructor(runId: string, sessionId: string, story: JoinedStory, record: WireRecord) {
    this.runId = runId;
    this.sessionId = sessionId;
    this.story = story;
    this.#record = record;
  }

  get text(): string {
    return this.story.text(this.runId);
  }

  async said(text: string): Promise<void> {
    await this.#record.until(() => this.text === text);
  }

  async end(): Promise<{ event: string; data: unknown } | undefined> {
    await this.#record.until(() => this.story.hasEnded(this.runId));
    return this.story.run(this.runId).end;
  }
}

it('a handler that computes › keeps its thread, and other runs keep streaming', async () => {
  const { server, letGo } = await served(2);
  const busy = await Watched.ask(server, 'work', 'compute');
  await busy.said('begun');
  const beside = await Watched.ask(server, 'beside', 'count');
  expect(await beside.end()).toMatchObject({ event: 'run.completed' });
  expect(beside.text).toBe(COUNT);
  // This run of the same agent gets another thread.
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
  expect(busy.story.hasEnded(busy.runId)).toBe(false);
  letGo();
  expect(await busy.end()).toMatchObject({ event: 'run.completed' });
  expect(busy.text).toBe('begun, done');
});

it('a handler that computes › is ended by a Stop with its thread, and the next run gets a new thread', async () => {
  const { server } = await served(1);
  const waiting = await Watched.ask(server, 'work', 'wait');
  await waiting.said('begun');
  const busy = await Watched.ask(server, 'work', 'compute');
  await busy.said('begun');
  expect((await post(server, `${busy.sessionId}/cancel`, { runId: busy.runId })).status).toBe(202);
  expect(await busy.end()).toMatchObject({ event: 'run.cancelled' });
  expect(await waiting.end()).toMatchObject(LOST);
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
});

it('a handler that reacts to a Stop › leaves its thread to the other runs', async () => {
  const { server } = await served(1);
  const first = await Watched.ask(server, 'work', 'wait', 'first');
  const second = await Watched.ask(server, 'work', 'wait', 'second');
  await Promise.all([first.said('begun'), second.said('begun')]);
  await post(server, 'first/cancel', { runId: first.runId });
  expect(await first.end()).toMatchObject({ event: 'run.cancelled' });
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
  expect(second.story.hasEnded(second.runId)).toBe(false);
});

it.each(['exit', 'fill'])(
  'a thread lost by "%s" › ends only its own runs, and a new thread replaces it',
  async (how) => {
    const { server } = await served(1);
    const beside = await Watched.ask(server, 'beside', 'count');
    const waiting = await Watched.ask(server, 'work', 'wait');
    await waiting.said('begun');
    expect(await (await Watched.ask(server, 'work', how)).end()).toMatchObject(LOST);
    expect(await waiting.end()).toMatchObject(LOST);
    expect(await beside.end()).toMatchObject({ event: 'run.completed' });
    expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
    expect(server.child.isRunning).toBe(true);
  },
);

it.each(['stray', 'nothing'])('an error by "%s" in a thread › ends only its run, and the thread stays', async (how) => {
  const { server } = await served(1);
  const waiting = await Watched.ask(server, 'work', 'wait');
  await waiting.said('begun');
  const failing = await Watched.ask(server, 'work', how);
  expect(await failing.end()).toMatchObject({ event: 'run.failed', data: { error: { code: 'agent-failed' } } });
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
  expect(waiting.story.hasEnded(waiting.runId)).toBe(false);
  expect(server.log.join('\n')).not.toContain('a secret');
});

// Node 20 does not tell which run a microtask belongs to, so the thread ends; a later Node does, and the thread stays.
it('an error in a microtask of a thread › fails its run, and no run of another agent', async () => {
  const { server } = await served(1);
  const beside = await Watched.ask(server, 'beside', 'count');
  const failing = await Watched.ask(server, 'work', 'throw');
  expect(await failing.end()).toMatchObject({ event: 'run.failed', data: { error: { retryable: true } } });
  expect(await beside.end()).toMatchObject({ event: 'run.completed' });
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
  expect(server.log.join('\n')).not.toContain('a secret');
  expect(server.child.isRunning).toBe(true);
});

it('a handler in a thread › writes, calls tools, asks and fails like one in the process', async () => {
  const { server } = await served(1);
  const said = await Watched.ask(server, 'work', 'say');
  expect(await said.end()).toMatchObject({
    event: 'run.completed',
    data: { usage: { inputTokens: 3, outputTokens: 4 } },
  });
  // Reasoning, the arguments of the tool call, and the text.
  expect(said.story.run(said.runId).texts).toEqual(['hm', '{"city":"Oslo"}', `${COUNT}${COUNT.length} 1`]);
  const partsAndResults = said.story.steps.filter(({ event }) => event === 'part.started' || event === 'tool.result');
  expect(partsAndResults.map(({ data }) => data)).toMatchObject([
    { part: 0, kind: 'reasoning' },
    { part: 1, kind: 'tool-call', toolCallId: 'c1', toolName: 'weather', executor: 'agent' },
    { toolCallId: 'c1', result: { celsius: -4 } },
    { part: 2, kind: 'text' },
  ]);
  const flood = await Watched.ask(server, 'work', 'flood');
  expect(await flood.end()).toMatchObject({ event: 'run.completed' });
  expect(flood.text).toBe('word '.repeat(60_000));
  expect(await (await Watched.ask(server, 'work', 'unknown')).end()).toMatchObject({
    event: 'run.failed',
    data: { error: { code: 'unknown-agent' } },
  });
  const caught = await Watched.ask(server, 'work', 'caught');
  expect(await caught.end()).toMatchObject({ event: 'run.completed' });
  expect(caught.text).toBe('unknown-agent');
  const stray = await Watched.ask(server, 'work', 'stray');
  expect(await stray.end()).toMatchObject({ event: 'run.failed', data: { error: { code: 'agent-failed' } } });
  expect(stray.text).toBe('begun');
});

it('a handler that writes without waiting › fails, and its writes delay no other run', async () => {
  const { server } = await served(1);
  const beside = await Watched.ask(server, 'beside', 'count');
  const overflow = await Watched.ask(server, 'work', 'overflow');
  expect(await overflow.end()).toMatchObject({
    event: 'run.failed',
    data: { error: { code: 'answer-too-large', retryable: false } },
  });
  expect(await beside.end()).toMatchObject({ event: 'run.completed' });
  await server.child.line(/"agent":"work".*the thread of an agent has ended/);
  expect(await (await Watched.ask(server, 'work', 'fine')).end()).toMatchObject({ event: 'run.completed' });
});

it.each([
  [
    'has no agent',
    'export const other = 1;',
    /agents\.work\.handler: cannot be loaded: exports no function named agent/,
  ],
  ['throws', 'throw new Error("no such database");', /agents\.work\.handler: cannot be loaded: no such database/],
  ['ends its thread', 'process.exit(4);', /agents\.work\.handler: cannot be loaded: its thread ended with code 4/],
])('a module for threads that %s › is refused at the start', async (_what, text, said) => {
  const folder = agentsFolder({ 'work.mjs': text });
  const agents = writeAgents(folder, { work: { handler: './work.mjs', threads: 1 } });
  const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
  const child = new Child(process.execPath, [main, 'serve'], {
    env: { ...childEnv(), HOLDLINE_BROKER: 'memory:', HOLDLINE_AGENTS: agents },
  });
  expect((await child.exited).code).not.toBe(0);
  expect(child.stderr + child.stdout).toMatch(said);
});

it('a worker of the SDK › runs the module of a URL in threads', async () => {
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  const folder = agentsFolder();
  writeFileSync(
    join(folder, 'work.mjs'),
    `import { isMainThread } from 'node:worker_threads';
    export async function agent(chat, writer) { await writer.text('main: ' + isMainThread); }`,
  );
  const sdk = new URL('../../dist/sdk/create-worker.js', import.meta.url).href;
  const script = `import { createWorker } from ${JSON.stringify(sdk)};
    const handler = new URL(${JSON.stringify(pathToFileURL(join(folder, 'work.mjs')).href)});
    for (const agent of [{ handler, threads: 0 }, { handler: () => {}, threads: 1 }]) {
      try { createWorker({ broker: 'redis://x', agents: { work: agent } }); } catch (error) { console.log(error.name + ': ' + error.message); }
    }
    const worker = createWorker({ broker: ${JSON.stringify(redis.url)}, promise: 'memory', agents: { work: { handler, threads: 2 } } });
    await worker.start();
    console.log('started');
    process.once('SIGTERM', () => worker.close());`;
  writeFileSync(join(folder, 'worker.mjs'), script);
  const child = new Child(process.execPath, [join(folder, 'worker.mjs')], { env: childEnv() });
  onTestFinished(() => void child.kill('SIGKILL'));
  await child.line(/started/);
  expect(child.stdout).toContain('TypeError: work: there are 1 to 64 threads');
  expect(child.stdout).toContain('TypeError: work: a function cannot run in a thread: give the URL of its module');
  const server = await startedServer({
    broker: redis.url,
    env: { HOLDLINE_ROLE: 'gateway', HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_PROMISE: 'memory' },
  });
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  const run = await Watched.ask(server, 'work', 'hello', 'chat', token);
  expect(await run.end()).toMatchObject({ event: 'run.completed' });
  expect(run.text).toBe('main: false');
  // After the worker has closed, nothing keeps the process alive.
  void child.kill('SIGTERM');
  expect((await child.exited).code).toBe(0);
});

it('a server › ends within its time although a handler computes', async () => {
  const { server } = await served(1);
  const busy = await Watched.ask(server, 'work', 'compute');
  await busy.said('begun');
  expect(await server.kill('SIGTERM')).toMatchObject({ code: 0 });
});
