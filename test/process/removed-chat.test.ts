// What is left of a chat: nothing once it is removed, and nothing that outlives it once its runs have ended. On both
// engines, in the operator's view of the topics.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { CONSUMED_REQUEST_TTL_MS } from '../../src/session/stores/leftovers.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { run } from './command-run.ts';
import { call } from './http-call.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(90_000), hookTimeout: timeLimit(90_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

/** The topic without the tenant and user in the name of a user's own chat. */
const plain = (topic: string): string => topic.replace(/default:[\w-]{22}:/, '');

/** The module of an agent that answers what another one answers. */
const asking = (agent: string): string => `export async function agent(chat, writer) {
  const ask = await chat.ask('${agent}', chat.prompt);
  await writer.text(await ask.answer);
}`;

interface Rig {
  readonly server: ServerProcess;
  readonly token: string;
  /** The names of all topics that match these patterns. */
  topics(...patterns: string[]): Promise<string[]>;
  /** The time to live of a topic, in ms. */
  ttl(topic: string): Promise<unknown>;
}

async function start(engine: 'log' | 'redis', more: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const folder = agentsFolder({ 'asks.js': asking('asked'), 'asked.js': asking('counter') });
  const agents = { default: { handler: './asks.js' }, asked: { handler: './asked.js' }, counter: { model: 'demo' } };
  const redis = engine === 'redis' ? await RedisServer.start({ appendfsync: 'always' }) : undefined;
  if (redis !== undefined) onTestFinished(() => redis.close());
  const broker = redis === undefined ? {} : { broker: redis.url };
  const server = await startedServer({
    ...broker,
    env: { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_AGENTS: writeAgents(folder, agents), ...more },
  });
  const env = { HOLDLINE_BROKER: redis?.url ?? `log:${server.folder}`, HOLDLINE_JWT_SECRET: SECRET };
  const token = (await run(['token', '--sub', 'you'], env)).stdout.trim();
  const list = async (pattern: string): Promise<string[]> => {
    const { stdout } = await run(['topics', 'ls', pattern], env);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t')[0] ?? '');
  };
  return {
    server,
    token,
    topics: async (...patterns) => (await Promise.all(patterns.map(list))).flat().map(plain),
    ttl: async (topic) => {
      const name = (await list(topic.replace(/[^/]*$/, '*'))).find((one) => plain(one) === topic) ?? topic;
      return (JSON.parse((await run(['topics', 'show', name], env)).stdout) as Record<string, unknown>)['ttlMs'];
    },
  };
}

async function answered({ server, token }: Rig, sessionId: string): Promise<void> {
  const { status, body } = await post(server, `${sessionId}/messages`, { content: 'count 3 at 1000/s' }, token);
  expect(status, JSON.stringify(body)).toBe(202);
  const story = new JoinedStory();
  await (await follow(server, sessionId, story, token)).until(() => story.hasEnded(String(body['runId'])));
  expect(story.text(String(body['runId']))).toBe('1 2 3 ');
}

const ALL = ['chat/*', 'request/*/*', 'request/*/*/*', 'response/*', 'cursors/*'];

describe.each(['log', 'redis'] as const)('on the engine %s', (engine) => {
  it('a removed chat takes its requests and the chats of its subagents with it, and nothing of other chats', async () => {
    const rig = await start(engine);
    for (const sessionId of ['trip', 'trip2', 'tri']) await answered(rig, sessionId);
    const before = await rig.topics(...ALL);
    for (const sessionId of ['trip', 'trip2', 'tri']) {
      expect(
        before
          .filter((topic) => new RegExp(`/${sessionId}([.]|$)`).test(topic))
          .map((topic) => topic.replace(/\.[^.]*$/, '.…')),
      ).toEqual([
        `chat/${sessionId}`,
        `request/default/${sessionId}`,
        `request/asked/1/${sessionId}.1.…`,
        `request/counter/2/${sessionId}.2.…`,
        `response/${sessionId}.1.…`,
        `response/${sessionId}.2.…`,
      ]);
    }
    expect((await call({ method: 'DELETE', url: `${rig.server.url}/v1/sessions/trip`, token: rig.token })).status).toBe(
      204,
    );
    const kept = before.filter((topic) => !/\/trip([.]|$)/.test(topic));
    expect(kept).toHaveLength(12);
    await vi.waitFor(async () => expect(await rig.topics(...ALL)).toEqual(kept), {
      timeout: timeLimit(15_000),
      interval: 500,
    });
    // The id is free, and a new chat with it is served.
    await answered(rig, 'trip');
  });

  it('a run whose chat is removed ends with one log line, with the outcome `gone`', async () => {
    const rig = await start(engine);
    const { server, token } = rig;
    const gone = (): string[] => server.log.filter((line) => line.includes('"run ended"'));
    for (const sessionId of ['one', 'two', 'three', 'four']) {
      const { body } = await post(
        server,
        `${sessionId}/messages`,
        { content: 'count 5000 at 500/s', agent: 'counter' },
        token,
      );
      const story = new JoinedStory();
      await (await follow(server, sessionId, story, token)).until(() => story.text(String(body['runId'])).length > 100);
      expect((await call({ method: 'DELETE', url: `${server.url}/v1/sessions/${sessionId}`, token })).status).toBe(204);
      await vi.waitFor(
        () =>
          expect(
            gone()
              .map((line) => JSON.parse(line) as unknown)
              .at(-1),
          ).toMatchObject({ runId: body['runId'], agent: 'counter', outcome: 'gone', attempts: 1 }),
        { timeout: timeLimit(15_000) },
      );
    }
    expect(gone()).toHaveLength(4);
  });

  it('a consumed request ends minutes later, and a chat at the time that is configured or requested', async () => {
    const rig = await start(engine, { HOLDLINE_SESSION_TTL: '2h' });
    await answered(rig, 'trip');
    // Within 50 ms: the session stamps the record with its own clock, and the engine counts from its time.
    const { body } = await call({ method: 'GET', url: `${rig.server.url}/v1/sessions/trip`, token: rig.token });
    expect(Date.parse(String(body['expiresAt'])) - Date.parse(String(body['lastActiveAt']))).toBeCloseTo(
      2 * 60 * 60 * 1000,
      -2,
    );
    for (const topic of await rig.topics('request/*/*', 'request/*/*/*'))
      await vi.waitFor(async () => expect(await rig.ttl(topic)).toBe(CONSUMED_REQUEST_TTL_MS), {
        timeout: timeLimit(15_000),
        interval: 500,
      });
    // A client that sets another time to live gets it.
    const url = `${rig.server.url}/v1/sessions`;
    await call({ method: 'POST', url, token: rig.token, body: { sessionId: 'short', ttlMs: 60_000 } });
    const short = await call({ method: 'GET', url: `${url}/short`, token: rig.token });
    expect(Date.parse(String(short.body['expiresAt'])) - Date.parse(String(short.body['lastActiveAt']))).toBeCloseTo(
      60_000,
      -2,
    );
  });

  it('a chat without an end has none in its description, and a user can delete it', async () => {
    const rig = await start(engine, { HOLDLINE_SESSION_TTL: 'off' });
    await answered(rig, 'trip');
    const url = `${rig.server.url}/v1/sessions/trip`;
    const { body } = await call({ method: 'GET', url, token: rig.token });
    expect(body).not.toHaveProperty('expiresAt');
    expect(Date.parse(String(body['lastActiveAt']))).toBeGreaterThanOrEqual(Date.parse(String(body['createdAt'])));
    expect((await call({ method: 'DELETE', url, token: rig.token })).status).toBe(204);
    expect((await call({ method: 'GET', url, token: rig.token })).status).toBe(404);
  });
});
