// Stop as the model server sees it: by any node and wire, the connection to the model closes, the text so far stays,
// and no other way of leaving counts as a stop. On the embedded engine, and with two gateways and a worker on Redis.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { RedisServer } from '../support/redis-server.ts';
import {
  answer,
  ScriptedUpstream,
  STALL,
  textEvent,
  type Reply,
  type UpstreamRequest,
} from '../support/scripted-upstream.ts';
import { ServerProcess } from '../support/server-process.ts';
import { slowed, timeLimit } from '../support/slowness.ts';
import { WsReader } from '../support/ws-reader.ts';
import { call } from './http-call.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, prompt } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

/** Says one word and then stalls, unless the prompt asks it to be quick. */
function replyTo({ body }: UpstreamRequest): Reply {
  return JSON.stringify(body).includes('quick') ? answer('Done.') : { steps: [textEvent('Once '), STALL] };
}

interface Nodes {
  readonly first: ServerProcess;
  readonly second: ServerProcess;
  readonly worker: ServerProcess;
}

describe.each(['embedded', 'redis'] as const)('%s', (engine) => {
  let model: ScriptedUpstream;
  let redis: RedisServer | undefined;
  let nodes: Nodes;
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );

  beforeAll(async () => {
    model = await ScriptedUpstream.start(replyTo);
    redis = engine === 'redis' ? await RedisServer.start({ appendfsync: 'always' }) : undefined;
    const env = {
      HOLDLINE_JWT_SECRET: SECRET,
      HOLDLINE_LEASE_MS: String(slowed(1_000)),
      HOLDLINE_MODEL_URL: model.baseUrl,
      HOLDLINE_MODEL: 'm',
    };
    const start = async (role: string): Promise<ServerProcess> =>
      ServerProcess.start({
        ...(redis === undefined ? {} : { broker: redis.url }),
        env: { ...env, HOLDLINE_ROLE: role },
      });
    if (redis === undefined) {
      const all = await start('all');
      nodes = { first: all, second: all, worker: all };
      return;
    }
    const [first, second, worker] = await Promise.all([start('gateway'), start('gateway'), start('worker')]);
    nodes = { first, second, worker };
  });
  afterAll(async () => {
    await Promise.all(Object.values(nodes).map(async (node: ServerProcess) => node.close()));
    await model.close();
    await redis?.close();
  });

  interface Speaking {
    readonly runId: string;
    readonly story: JoinedStory;
    readonly upstream: UpstreamRequest;
  }

  /** A run that has said its one word. */
  async function speaking(sessionId: string): Promise<Speaking> {
    const arrives = model.request(model.requests.length);
    const runId = await prompt(nodes.first, sessionId, 'a story', token);
    const story = new JoinedStory();
    const stream = await follow(nodes.first, sessionId, story, token);
    await stream.until(() => story.text(runId) === 'Once ');
    stream.cut();
    return { runId, story, upstream: await arrives };
  }

  /** The end of the run for a reader that comes to another node. */
  async function endOf(
    sessionId: string,
    { runId, story }: Pick<Speaking, 'runId' | 'story'>,
  ): Promise<string | undefined> {
    const stream = await follow(nodes.second, sessionId, story, token);
    await stream.until(() => story.hasEnded(runId));
    stream.cut();
    expect(story.violations).toEqual([]);
    return story.run(runId).end?.event;
  }

  const cancelsOverWs = async (node: ServerProcess, sessionId: string, runId: string): Promise<unknown> => {
    const socket = await WsReader.open(node.url, token);
    const answered = await socket.ask('cancel', { sessionId, runId });
    socket.cut();
    return answered;
  };

  it.each([
    [
      'the node that was asked first, by HTTP',
      async (sessionId: string, runId: string) => post(nodes.first, `${sessionId}/cancel`, { runId }, token),
    ],
    [
      'another node, by HTTP',
      async (sessionId: string, runId: string) => post(nodes.second, `${sessionId}/cancel`, { runId }, token),
    ],
    [
      'the node that was asked first, by WebSocket',
      async (sessionId: string, runId: string) => cancelsOverWs(nodes.first, sessionId, runId),
    ],
    [
      'another node, by WebSocket',
      async (sessionId: string, runId: string) => cancelsOverWs(nodes.second, sessionId, runId),
    ],
  ])('a stop › at %s closes the connection to the model and keeps the text so far', async (where, cancel) => {
    const sessionId = `stop-${where.replaceAll(/\W+/g, '-')}`;
    const run = await speaking(sessionId);
    await cancel(sessionId, run.runId);
    expect(await run.upstream.ended).toBe('closed-by-client');
    expect(await endOf(sessionId, run)).toBe('run.cancelled');
    expect(run.story.text(run.runId)).toBe('Once ');
  });

  it('a stop › while the worker is dead ends the run, and no later worker calls the model again', async () => {
    const run = await speaking('dead');
    // In a single process the stop would be written first and then be lost with the process before any worker could
    // act.
    if (engine === 'redis') await nodes.worker.kill('SIGKILL');
    expect(await post(nodes.second, 'dead/cancel', {}, token)).toMatchObject({
      status: 202,
      body: { runId: run.runId },
    });
    if (engine === 'embedded') await nodes.worker.kill('SIGKILL');
    const asked = model.requests.length;
    await nodes.worker.restart();
    expect(await endOf('dead', run)).toBe('run.cancelled');
    expect(run.story.text(run.runId)).toBe('Once ');
    expect(await run.upstream.ended).toBe('closed-by-client');
    await endOf('dead', { ...run, runId: await prompt(nodes.first, 'dead', 'quick', token) });
    expect(model.requests).toHaveLength(asked + 1);
  });

  it('a stop › of a queued run keeps it from the model', async () => {
    const run = await speaking('queue');
    const waiting = await prompt(nodes.first, 'queue', 'a story that nobody asks for', token);
    const next = await prompt(nodes.first, 'queue', 'quick', token);
    expect((await post(nodes.second, 'queue/cancel', { runId: waiting }, token)).status).toBe(202);
    await post(nodes.second, 'queue/cancel', { runId: run.runId }, token);
    expect(await endOf('queue', { ...run, runId: next })).toBe('run.completed');
    expect(run.story.run(waiting).end?.event).toBe('run.cancelled');
    expect(JSON.stringify(model.requests.map(({ body }) => body))).not.toContain('nobody asks for');
  });

  it('a stop › does not happen when a reader leaves', async () => {
    const run = await speaking('left');
    const socket = await WsReader.open(nodes.second.url, token);
    await (await socket.subscribe('left')).until(({ event }) => event === 'live');
    socket.cut();
    const { body } = await call({ method: 'GET', url: `${nodes.first.url}/v1/sessions/left`, token });
    expect(body['activeRun']).toMatchObject({ runId: run.runId, state: 'running' });
    await post(nodes.first, 'left/cancel', {}, token);
    expect(await endOf('left', run)).toBe('run.cancelled');
  });

  it('a stop › leaves no connection to the model open, and neither does a finished answer', async () => {
    await vi.waitFor(async () => expect(await model.openSockets()).toBe(0), { timeout: timeLimit(30_000) });
  });
});
