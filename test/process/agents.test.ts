// The example of agents that ask agents, as its users run it: processes on a real Redis, each killed in turn in the
// middle of an answer. The answer is whole, every run ends once, and an agent that has answered is not asked again.
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { parseLiteTopicName, parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { openBroker } from '../../src/broker/open-broker.ts';
import { makeToken } from '../../src/cli/token.ts';
import { typeOf } from '../../src/session/events/chat-event.ts';
import { slowed, timeLimit } from '../support/slowness.ts';
import { History } from '../worlds/history.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { Child, childEnv } from '../support/child.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ServerProcess } from '../support/server-process.ts';
import { run } from './command-run.ts';
import { backOff, type Entrance } from './entrance.ts';
import { tryCall } from './http-call.ts';
import { LastingReader } from './lasting-reader.ts';
import { Moments } from './moments.ts';
import { seededRandom } from './seeded-random.ts';
import { startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(180_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const WORKER = fileURLToPath(new URL('../../examples/agents/worker.js', import.meta.url));
const AGENTS_FILE = fileURLToPath(new URL('../../examples/agents/agents.json', import.meta.url));
const TITLES = ['## What to see', '## Where to eat', '## What to wear'];

/** A worker of the example that can be killed and restarted. */
class ExampleWorker {
  readonly #env: Readonly<Record<string, string>>;
  readonly #lives: Child[] = [];

  constructor(env: Readonly<Record<string, string>>) {
    this.#env = childEnv(env);
  }

  get log(): readonly string[] {
    return this.#lives.flatMap(({ lines }) => lines);
  }

  async restart(): Promise<void> {
    const child = new Child(process.execPath, [WORKER], { env: this.#env });
    this.#lives.push(child);
    await child.line(/^the agents are at work$/);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<unknown> {
    return this.#lives.at(-1)?.kill(signal);
  }
}

interface Rig {
  readonly redis: RedisServer;
  readonly gateways: readonly ServerProcess[];
  readonly workers: readonly ExampleWorker[];
  readonly token: string;
}

async function startRig(): Promise<Rig> {
  const redis = await RedisServer.start({ appendfsync: 'always' });
  onTestFinished(() => redis.close());
  const env = { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_ROLE: 'gateway', HOLDLINE_LOG_LEVEL: 'warn' };
  const gateways = await Promise.all([1, 2].map(async () => ServerProcess.start({ broker: redis.url, env })));
  const workers = [1, 2].map(
    () =>
      new ExampleWorker({ HOLDLINE_BROKER: redis.url, HOLDLINE_LEASE_MS: String(slowed(1_000)), AGENTS_WORD_MS: '40' }),
  );
  onTestFinished(async () => {
    await Promise.all([...gateways.map(async (one) => one.close()), ...workers.map(async (one) => one.kill())]);
  });
  await Promise.all(workers.map(async (one) => one.restart()));
  onTestFailed(() =>
    console.error(
      [...gateways.map((one) => one.log), ...workers.map((one) => one.log)]
        .map((lines) => lines.slice(-15).join('\n'))
        .join('\n--\n'),
    ),
  );
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  return { redis, gateways, workers, token };
}

/** Clients enter by any gateway that is up. */
function entranceOf(gateways: readonly ServerProcess[]): Entrance {
  const up = (): ServerProcess | undefined => gateways.find(({ isUp }) => isUp);
  return {
    get url() {
      return up()?.url ?? gateways[0]?.url ?? '';
    },
    get lives() {
      return gateways.reduce((sum, { lives }) => sum + lives, 0);
    },
    up: async () => {
      if (up() === undefined) await Promise.race(gateways.map(async (one) => one.up()));
    },
  };
}

type Token = Pick<Rig, 'token'>;

function readerOf({ token }: Token, server: Entrance, sessionId: string): LastingReader {
  const random = seededRandom(sessionId);
  return new LastingReader({
    name: sessionId,
    server,
    token,
    sessionId,
    wire: 'sse',
    history: new History(),
    moments: new Moments(),
    random,
  });
}

async function send({ token }: Token, server: Entrance, sessionId: string): Promise<string> {
  const body = { content: 'a weekend in Bergen', messageId: 'm1' };
  for (;;) {
    await server.up();
    const answer = await tryCall({
      method: 'POST',
      url: `${server.url}/v1/sessions/${sessionId}/messages`,
      token,
      body,
    });
    if (answer?.status === 202) return answer.body['runId'] as string;
    await backOff();
  }
}

/** The types of all events of each ask of a session. */
async function readAsks(broker: BrokerEngine, sessionId: string): Promise<readonly (readonly string[])[]> {
  const { topics } = await broker.list(parseTopicPattern('response/*'), { limit: 1000 });
  // The name of a user's own session has a digest of the user before its id.
  const asked = topics.filter(({ topic }) => topic.includes(`:${sessionId}.`));
  return Promise.all(
    asked.map(async ({ topic }) => {
      const read = await broker.read(parseLiteTopicName(topic), 'earliest', { majorOnly: true });
      return read.kind === 'batch'
        ? read.items.flatMap((item) => (item.kind === 'record' ? [typeOf(item.data) ?? ''] : []))
        : [];
    }),
  );
}

const TERMINAL = /^run\.(completed|failed|cancelled)$/;

it('kill -9 of each process in the middle of an answer › leaves the answer whole, and no agent answers twice', async () => {
  const rig = await startRig();
  const { redis, gateways, workers } = rig;
  const server = entranceOf(gateways);
  const broker = await openBroker({ engine: 'redis', nodes: [redis.url], promise: 'always', onError: () => undefined });
  onTestFinished(() => broker.close());
  const victims = {
    'worker-1': workers[0],
    'gateway-1': gateways[0],
    'worker-2': workers[1],
    'gateway-2': gateways[1],
    redis,
  };
  const calmRun = await send(rig, server, 'calm');
  const calm = readerOf(rig, server, 'calm');
  await calm.until((story) => story.hasEnded(calmRun));
  const whole = calm.story.text(calmRun);
  await calm.stop();
  expect(TITLES.map((title) => whole.indexOf(title))).toEqual(
    TITLES.map((title) => whole.indexOf(title)).toSorted((a, b) => a - b),
  );
  expect(whole.indexOf(TITLES[0] ?? '')).toBe(0);
  let restarts = 0;
  for (const [name, victim] of Object.entries(victims)) {
    const runId = await send(rig, server, name);
    const reader = readerOf(rig, server, name);
    // The first section has begun: every agent was asked, and none has ended.
    await reader.until((story) => story.text(runId).length > 60);
    await victim?.kill('SIGKILL');
    await victim?.restart();
    await reader.until((story) => story.hasEnded(runId));
    await reader.stop();
    const { story } = reader;
    expect(story.violations, name).toEqual([]);
    expect({ name, end: story.runs.get(runId)?.end?.event, text: story.text(runId) }).toEqual({
      name,
      end: 'run.completed',
      text: whole,
    });
    const asks = await readAsks(broker, name);
    expect(asks, name).toHaveLength(3);
    for (const events of asks)
      expect(
        events.filter((type) => TERMINAL.test(type)),
        name,
      ).toEqual(['run.completed']);
    for (const events of asks)
      expect(events.indexOf('run.completed'), `${name}: ${events.join(' ')}`).toBe(events.length - 1);
    restarts += [...asks.flat(), ...story.steps.map(({ event }) => event)].filter(
      (type) => type === 'run.restarted',
    ).length;
  }
  // At least one kill must have hit a run; otherwise the test shows nothing.
  expect(restarts).toBeGreaterThan(0);
});

it('kill -9 of one process on the embedded log in the middle of an answer › leaves the answer whole', async () => {
  const server = await startedServer({ env: { HOLDLINE_AGENTS: AGENTS_FILE, AGENTS_WORD_MS: '20' } });
  const runId = await send(server, server, 'trip');
  const reader = readerOf(server, server, 'trip');
  await reader.until((story) => story.text(runId).length > 60);
  await server.kill('SIGKILL');
  await server.restart();
  await reader.until((story) => story.hasEnded(runId));
  await reader.stop();
  const { story } = reader;
  expect(story.violations).toEqual([]);
  expect(story.runs.get(runId)?.end?.event).toBe('run.completed');
  const text = story.text(runId);
  expect(text).toMatch(
    /^## What to see\n\nYou asked for: a weekend in Bergen\. .*same view\.\n\n## Where to eat\n\nEat .*no guide\.\n\n## What to wear\n\nIt will be .*at home\.$/s,
  );
  expect(story.steps.filter(({ event }) => event === 'run.restarted').length).toBeGreaterThan(0);
});

it('a file whose handler is not a function › is refused before anything is opened', async () => {
  const folder = agentsFolder({ 'mute.js': 'export const other = 1;' });
  const start = async (handler: string) =>
    run(['serve'], { HOLDLINE_AGENTS: writeAgents(folder, { mute: { handler } }), HOLDLINE_BROKER: 'memory:' });
  for (const [handler, why] of [
    ['./mute.js', 'exports no function named agent'],
    ['./gone.js', 'cannot be loaded'],
  ] as const) {
    const { code, stderr } = await start(handler);
    expect({ code, stderr }).toEqual({
      code: 64,
      stderr: expect.stringContaining(`HOLDLINE_AGENTS: agents.mute.handler: ${why}`) as string,
    });
  }
});

it('a worker of the example without its Redis › says so in one line', async () => {
  const child = new Child(process.execPath, [WORKER], { env: childEnv({ HOLDLINE_BROKER: 'redis://127.0.0.1:1' }) });
  expect(await child.exited).toEqual({ code: 75, signal: null });
  expect(child.lines).toEqual([
    expect.stringMatching(
      /^the worker cannot start: unavailable: start: the connection to Redis failed: .*ECONNREFUSED/,
    ),
  ]);
});
