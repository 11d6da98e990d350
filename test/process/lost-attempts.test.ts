// Workers that are lost for reasons outside the run: restarts before the model said anything, and another run whose
// code blocks the event loop. The run continues, and only the run that blocks is ended.
import { setTimeout } from 'node:timers/promises';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { RedisServer } from '../support/redis-server.ts';
import { answer, ScriptedUpstream, STALL, type Reply } from '../support/scripted-upstream.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(240_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const RESTARTS = 15;
/** Each start ends this long after it serves, or as soon as the model was called. */
const LIFE_MS = 300;
const NEIGHBOURS = 10;
const WORDS = 40;
/** The handler blocks for six leases. */
const LEASE_MS = 1_000;
const BLOCK_MS = 6_000;

const HANDLERS = `
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export async function agent(chat, writer) {
  if (chat.prompt === 'block') {
    await sleep(300);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${BLOCK_MS});
    await writer.text('done');
    return;
  }
  for (let i = 1; i <= ${WORDS}; i += 1) {
    await writer.text(i + ' ');
    await sleep(100);
  }
}
`;

it('a run whose server is killed soon after each of 15 starts › completes at the next undisturbed start', async () => {
  let isCalm = false;
  const model = await ScriptedUpstream.start((): Reply => (isCalm ? answer('At last.') : { steps: [STALL] }));
  onTestFinished(() => model.close());
  const server = await startedServer({ env: { HOLDLINE_MODEL_URL: model.baseUrl, HOLDLINE_MODEL: 'm' } });
  const { token } = server;
  const runId = await prompt(server, 'restarted', 'hello', token);
  await model.request(0);
  for (let restart = 1; restart <= RESTARTS; restart += 1) {
    await server.kill('SIGKILL');
    const asked = model.request(model.requests.length);
    isCalm = restart === RESTARTS;
    await server.restart();
    if (!isCalm) await Promise.race([asked, setTimeout(LIFE_MS)]);
  }
  const story = new JoinedStory();
  await (await follow(server, 'restarted', story, token)).until(() => story.hasEnded(runId));
  expect(story.run(runId).end).toMatchObject({ event: 'run.completed' });
  expect(story.text(runId)).toBe('At last.');
});

async function nodes(threads?: number): Promise<{ gateway: ServerProcess; token: string }> {
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  const folder = agentsFolder({ 'handler.js': HANDLERS });
  const coded = { handler: './handler.js', model: 'code', ...(threads === undefined ? {} : { threads }) };
  const env = {
    HOLDLINE_JWT_SECRET: SECRET,
    HOLDLINE_PROMISE: 'memory',
    HOLDLINE_LEASE_MS: String(LEASE_MS),
    HOLDLINE_AGENTS: writeAgents(folder, { default: coded }),
  };
  const start = async (role: string): Promise<ServerProcess> =>
    startedServer({ broker: redis.url, env: { ...env, HOLDLINE_ROLE: role } });
  const [gateway] = await Promise.all([start('gateway'), start('worker'), start('worker')]);
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  return { gateway, token };
}

it('a handler that blocks its worker for six leases › is ended, and none of the ten runs beside it fails', async () => {
  const { gateway, token } = await nodes();
  const names = Array.from({ length: NEIGHBOURS }, (_, i) => `neighbour-${i}`);
  const runs = await Promise.all(
    names.map(async (name) => ({ name, runId: await prompt(gateway, name, 'count', token), story: new JoinedStory() })),
  );
  const blocker = {
    name: 'blocker',
    runId: await prompt(gateway, 'blocker', 'block', token),
    story: new JoinedStory(),
  };
  await Promise.all(
    [...runs, blocker].map(async ({ name, runId, story }) => {
      await (await follow(gateway, name, story, token)).until(() => story.hasEnded(runId));
    }),
  );
  const ends = runs.map(({ runId, story }) => story.run(runId).end);
  expect(ends.map((end) => [end?.event, end?.data['error']])).toEqual(runs.map(() => ['run.completed', undefined]));
  const words = Array.from({ length: WORDS }, (_, i) => `${i + 1} `).join('');
  for (const { runId, story } of runs) expect(story.text(runId)).toBe(words);
  expect(blocker.story.run(blocker.runId).end).toMatchObject({
    event: 'run.failed',
    data: { error: { code: 'worker-blocked' } },
  });
  expect((await post(gateway, 'blocker/messages', { content: 'count' }, token)).status).toBe(202);
});

it('a handler that computes in a thread for six leases › keeps its worker, and every run completes in its first attempt', async () => {
  const { gateway, token } = await nodes(2);
  const blocker = {
    name: 'blocker',
    runId: await prompt(gateway, 'blocker', 'block', token),
    story: new JoinedStory(),
  };
  const beside = { name: 'beside', runId: await prompt(gateway, 'beside', 'count', token), story: new JoinedStory() };
  for (const { name, runId, story } of [blocker, beside]) {
    const record = await follow(gateway, name, story, token);
    await record.until(() => story.hasEnded(runId));
    expect(story.run(runId).end).toMatchObject({ event: 'run.completed' });
    expect(record.events.filter(({ event }) => event === 'run.restarted')).toEqual([]);
  }
  expect(blocker.story.text(blocker.runId)).toBe('done');
});
