// A worker killed in the middle of an answer, with a model that can continue from a prefix: the answer has no gap and
// no overlap, the model receives a request for exactly the rest, and the saved tokens are counted. On the embedded
// engine, where the whole process dies, and on Redis, where an append may have been carried out or lost without an
// answer to its worker.
import { describe, expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { PrefillModel } from '../support/prefill-model.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ServerProcess } from '../support/server-process.ts';
import { slowed, timeLimit } from '../support/slowness.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, prompt } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
/** The tokens of a real model begin with their space, and sometimes end a paragraph. */
const TOKENS = Array.from(
  { length: 1200 },
  (_, i) => `${i === 0 ? 'Once' : ` w${i + 1}`}${i % 7 === 3 ? '🏰' : ''}${(i + 1) % 10 === 0 ? '.\n' : ''}`,
);
const KILLED_AT = [1, 10, 100, 1000];

interface Scene {
  readonly model: PrefillModel;
  readonly gateway: ServerProcess;
  /** The process that dies. */
  readonly worker: ServerProcess;
  readonly token: string;
}

/** May let the model continue behind that many tokens; resolves when the process is to be killed. */
type Strike = (model: PrefillModel, tokens: number, go: () => void) => Promise<void>;

/** The seen tokens are all there are, and no token is under way. */
const whenSeen: Strike = async () => undefined;

/** The next token has left the model, and may be anywhere. */
const whenSaid: Strike = async (model, tokens, go) => {
  const { reached } = model.pauseAfter(tokens + 1);
  go();
  await reached;
};

async function diesAndGoesOn(scene: Scene, tokens: number, strike: Strike): Promise<void> {
  const { model, gateway, worker, token } = scene;
  const sessionId = `killed-at-${tokens}`;
  const pause = model.pauseAfter(tokens);
  const runId = await prompt(gateway, sessionId, 'a story', token);
  const story = new JoinedStory();
  const seen = model.tokens.slice(0, tokens).join('');
  const before = await follow(gateway, sessionId, story, token);
  await before.until(() => story.text(runId) === seen);
  before.cut();
  await strike(model, tokens, pause.go);
  await worker.kill('SIGKILL');
  await worker.restart();
  const after = await follow(gateway, sessionId, story, token);
  await after.until(() => story.hasEnded(runId));
  after.cut();
  expect(story.violations).toEqual([]);
  expect(story.run(runId).end?.event).toBe('run.completed');
  expect(story.text(runId)).toBe(model.story);
  const begun = model.begun.splice(0);
  expect(begun).toEqual([0, expect.any(Number)]);
  expect(begun[1]).toBeGreaterThanOrEqual(seen.trimEnd().length);
  const metrics = await (await fetch(`${worker.url}/metrics`)).text();
  expect(metrics).toMatch(new RegExp(`^holdline_continued_chars_total ${begun[1]}$`, 'm'));
}

async function startModel(): Promise<PrefillModel> {
  const model = await PrefillModel.start(TOKENS);
  onTestFinished(() => model.close());
  return model;
}

async function startNode(
  broker: string | undefined,
  model: PrefillModel,
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const modelEnv = {
    HOLDLINE_MODEL_URL: model.upstream.baseUrl,
    HOLDLINE_MODEL: 'storyteller',
    HOLDLINE_MODEL_PREFILL: 'vllm',
  };
  const node = await ServerProcess.start({ ...(broker === undefined ? {} : { broker }), env: { ...modelEnv, ...env } });
  onTestFinished(() => node.close());
  onTestFailed(() => console.error(node.log.slice(-20).join('\n')));
  return node;
}

describe('kill -9 of the whole server', () => {
  it.each([
    ['once the last token was seen', whenSeen],
    ['with the next token under way', whenSaid],
  ])('%s', async (_what, strike) => {
    const model = await startModel();
    const server = await startNode(undefined, model, {});
    for (const tokens of KILLED_AT)
      await diesAndGoesOn({ model, gateway: server, worker: server, token: server.token }, tokens, strike);
  });
});

describe('kill -9 of a worker on Redis', () => {
  it.each([
    ['once the last token was seen', undefined],
    [
      'with the next token in an append that arrived, unheard',
      (proxy: TcpProxy, token: string) => proxy.cutAfter((sent) => sent.includes(token)),
    ],
    [
      'with the next token in an append that never arrived',
      (proxy: TcpProxy, token: string) => proxy.cutBefore((sent) => sent.includes(token)),
    ],
  ])('%s', async (_what, cut) => {
    const model = await startModel();
    const redis = await RedisServer.start({ appendfsync: 'always' });
    onTestFinished(() => redis.close());
    const proxy = await TcpProxy.start(redis.port);
    onTestFinished(() => proxy.close());
    const token = makeToken(
      { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
      { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
      Date.now(),
    );
    const shared = { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_LEASE_MS: String(slowed(1_000)) };
    const [gateway, worker] = await Promise.all([
      startNode(redis.url, model, { ...shared, HOLDLINE_ROLE: 'gateway' }),
      startNode(`redis://127.0.0.1:${proxy.port}`, model, { ...shared, HOLDLINE_ROLE: 'worker' }),
    ]);
    const whenCut: Strike = async (_model, tokens, go) => {
      const done = cut?.(proxy, TOKENS[tokens] ?? '');
      go();
      await done;
    };
    const strike = cut === undefined ? whenSeen : whenCut;
    for (const tokens of KILLED_AT) await diesAndGoesOn({ model, gateway, worker, token }, tokens, strike);
  });
});
