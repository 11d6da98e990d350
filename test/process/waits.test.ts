// A run that asks a human, with processes as their users run them: a worker is killed before it has asked, while the
// run waits, and behind the answer. Each input is asked for once, and the answer is whole.
import { join } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { call } from './http-call.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(120_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const LEASE_MS = 1_000;

/** Says a text in each leg, and then stops in the leg that `stop` names until the file `go` exists. */
const AGENT = (folder: string): string => `
import { existsSync, writeFileSync } from 'node:fs';
const sleep = () => new Promise((resolve) => setTimeout(resolve, 20));
export async function agent(chat, writer, signal) {
  writeFileSync(${JSON.stringify(join(folder, 'holder'))}, String(process.pid));
  await writer.text('leg ' + chat.leg + ', ');
  while (chat.prompt === 'stop in ' + chat.leg && !existsSync(${JSON.stringify(join(folder, 'go'))})) { signal.throwIfAborted(); await sleep(); }
  if (chat.leg === 0) return writer.askHuman([{ key: 'name', kind: 'question' }, { key: 'sure', kind: 'approval' }]);
  await writer.text(chat.answer('name').value + ' ' + chat.answer('sure').approved);
}
`;

interface Nodes {
  readonly gateway: ServerProcess;
  readonly token: string;
  /** Lets the agent go on. */
  go(): void;
  /** Kills the worker that had the run last. */
  killHolder(): Promise<void>;
}

async function startNodes(threads?: number): Promise<Nodes> {
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  const folder = agentsFolder();
  writeFileSync(join(folder, 'agent.js'), AGENT(folder));
  const entry = { handler: './agent.js', ...(threads === undefined ? {} : { threads }) };
  const env = {
    HOLDLINE_JWT_SECRET: SECRET,
    HOLDLINE_PROMISE: 'memory',
    HOLDLINE_LEASE_MS: String(LEASE_MS),
    HOLDLINE_LOG_LEVEL: 'debug',
    HOLDLINE_AGENTS: writeAgents(folder, { default: entry }),
  };
  const start = async (role: string): Promise<ServerProcess> =>
    startedServer({ broker: redis.url, env: { ...env, HOLDLINE_ROLE: role } });
  const [gateway, ...workers] = await Promise.all([start('gateway'), start('worker'), start('worker')]);
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  return {
    gateway,
    token,
    go: () => writeFileSync(join(folder, 'go'), ''),
    killHolder: async () => {
      const pid = Number(readFileSync(join(folder, 'holder'), 'utf8'));
      const holder = workers.find(({ child }) => child.pid === pid);
      expect(holder).toBeDefined();
      await holder?.kill('SIGKILL');
    },
  };
}

interface Told {
  readonly story: JoinedStory;
  readonly runId: string;
  until(condition: () => boolean): Promise<unknown>;
}

async function begin({ gateway, token }: Nodes, content: string): Promise<Told> {
  const { status, body } = await post(gateway, 'chat/messages', { content }, token);
  expect(status, JSON.stringify(body)).toBe(202);
  const runId = String(body['runId']);
  const story = new JoinedStory();
  const record = await follow(gateway, 'chat', story, token);
  return { story, runId, until: (condition) => record.until(condition) };
}

function stepsOf(story: JoinedStory): string[] {
  return story.steps.map(({ event }) => event).filter((event) => /^(run|input)\./.test(event));
}

async function answerAll({ gateway, token }: Nodes): Promise<void> {
  const url = `${gateway.url}/v1/sessions/chat/inputs`;
  const { body } = await call({ method: 'GET', url: `${url}?state=open`, token });
  const { inputs } = body as unknown as { inputs: { inputId: string; kind: string }[] };
  expect(inputs).toHaveLength(2);
  for (const { inputId, kind } of inputs) {
    const reply = kind === 'question' ? { value: 'Ada' } : { approved: true };
    const { status } = await call({ method: 'POST', url: `${url}/${inputId}`, token, body: reply });
    expect(status).toBe(202);
  }
}

function expectWhole({ story, runId }: Told, ...between: string[]): void {
  expect(story.violations).toEqual([]);
  expect(story.text(runId)).toBe('leg 0, leg 1, Ada true');
  expect(stepsOf(story)).toEqual(['run.queued', 'run.started', ...between]);
}

const ASKED = ['input.requested', 'input.requested', 'run.waiting'];
const ANSWERED = ['input.answered', 'input.answered', 'run.resumed'];

it.each([undefined, 2])(
  'a worker that is killed while the run waits (threads: %s) › is not needed any more',
  async (threads) => {
    const nodes = await startNodes(threads);
    const told = await begin(nodes, 'go');
    await told.until(() => stepsOf(told.story).includes('run.waiting'));
    await nodes.killHolder();
    await answerAll(nodes);
    await told.until(() => told.story.hasEnded(told.runId));
    expectWhole(told, ...ASKED, ...ANSWERED, 'run.completed');
  },
);

it('a worker that is killed before it has asked › is replaced by one that asks once', async () => {
  const nodes = await startNodes();
  const told = await begin(nodes, 'stop in 0');
  await told.until(() => told.story.text(told.runId) === 'leg 0, ');
  await nodes.killHolder();
  await told.until(() => stepsOf(told.story).includes('run.restarted'));
  nodes.go();
  await told.until(() => stepsOf(told.story).includes('run.waiting'));
  await answerAll(nodes);
  await told.until(() => told.story.hasEnded(told.runId));
  expectWhole(told, 'run.restarted', ...ASKED, ...ANSWERED, 'run.completed');
});

it('a worker that is killed behind the answer › is replaced by one that keeps the first leg and the answers', async () => {
  const nodes = await startNodes();
  const told = await begin(nodes, 'stop in 1');
  await told.until(() => stepsOf(told.story).includes('run.waiting'));
  await answerAll(nodes);
  await told.until(() => told.story.text(told.runId) === 'leg 0, leg 1, ');
  await nodes.killHolder();
  await told.until(() => stepsOf(told.story).includes('run.restarted'));
  nodes.go();
  await told.until(() => told.story.hasEnded(told.runId));
  expectWhole(told, ...ASKED, ...ANSWERED, 'run.restarted', 'run.completed');
});
