// kill -9 in the middle of answers that real clients read over every wire with a chunked body, all of them at once. A
// gateway that dies is noticed by each client, never taken for the end of the answer, and the client's own way back
// gives the whole answer. A worker that dies is invisible where the next one says the same text; where that one says
// other text, each wire says so in its own words.
import { afterAll, beforeAll, expect, it, onTestFailed, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { DONE, finishEvent, ScriptedUpstream, textEvent, type Step } from '../support/scripted-upstream.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ServerProcess } from '../support/server-process.ts';
import { slowed, timeLimit } from '../support/slowness.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { eventually } from '../support/wait-for.ts';
import { WIRE_CLIENTS, type Place, type WireViewer } from '../wires/wire-clients.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const SHOWN_LINES = 20;
const STORY = Array.from({ length: 60 }, (_, i) => `word${i}${i % 9 === 4 ? ' 🏰' : ''} `);
const HALF = 30;
/** The other worker's story has the first words of the first one. */
const OTHER = STORY.map((word, i) => (i < HALF / 2 ? word : `other${i} `));
const [whole, half, other] = [STORY.join(''), STORY.slice(0, HALF).join(''), OTHER.join('')];

/** Tells each story for the first time up to its half until `goOn`, and from then on whole. A prompt that begins with
 *  `other` gets another story at its second request. */
class StoryModel {
  /** The prompts whose story was told more than once. */
  readonly toldAgain = new Set<string>();
  readonly #told = new Set<string>();
  #open = (): void => undefined;
  #gate = this.#newGate();
  upstream: ScriptedUpstream | undefined;

  async start(): Promise<string> {
    this.upstream = await ScriptedUpstream.start(({ body }) => {
      const { messages } = body as { readonly messages: readonly { readonly content: string }[] };
      return { steps: this.#tell(messages.at(-1)?.content ?? '') };
    });
    return this.upstream.baseUrl;
  }

  goOn(): void {
    this.#open();
    this.#gate = this.#newGate();
  }

  #newGate(): Promise<void> {
    return new Promise((resolve) => (this.#open = resolve));
  }

  *#tell(prompt: string): Generator<Step> {
    const isAgain = this.#told.has(prompt);
    if (isAgain) this.toldAgain.add(prompt);
    this.#told.add(prompt);
    const gate = this.#gate;
    for (const [index, word] of (isAgain && prompt.startsWith('other') ? OTHER : STORY).entries()) {
      if (!isAgain && index === HALF) yield gate;
      yield textEvent(word);
    }
    yield finishEvent();
    yield DONE;
  }
}

const model = new StoryModel();
const closers: (() => Promise<unknown>)[] = [];
const nodes: ServerProcess[] = [];
let redis: RedisServer;
let proxy: TcpProxy;
let place: Place;
let modelUrl = '';

async function startNode(role: 'gateway' | 'worker'): Promise<ServerProcess> {
  const node = await ServerProcess.start({
    broker: redis.url,
    env: {
      HOLDLINE_JWT_SECRET: SECRET,
      HOLDLINE_PROMISE: 'memory',
      HOLDLINE_ROLE: role,
      HOLDLINE_LEASE_MS: String(slowed(1_000)),
      HOLDLINE_MODEL_URL: modelUrl,
      HOLDLINE_MODEL: 'storyteller',
      HOLDLINE_LOG_LEVEL: 'warn',
    },
  });
  nodes.push(node);
  closers.unshift(() => node.close());
  return node;
}

let gateways: readonly ServerProcess[];
let worker: ServerProcess;

beforeAll(async () => {
  modelUrl = await model.start();
  closers.unshift(async () => model.upstream?.close());
  redis = await RedisServer.start();
  closers.push(() => redis.close());
  [worker, ...gateways] = await Promise.all([startNode('worker'), startNode('gateway'), startNode('gateway')]);
  proxy = await TcpProxy.start(gateways[0]?.port ?? 0);
  closers.unshift(() => proxy.close());
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  place = { url: `http://127.0.0.1:${proxy.port}`, token };
});

afterAll(async () => {
  for (const close of closers) await close();
});

/** One viewer for each wire, each of a chat of its own, when all of them show the first half. */
async function startViewers(kind: 'gateway' | 'same' | 'other'): Promise<readonly WireViewer[]> {
  const viewers = await Promise.all(
    WIRE_CLIENTS.map(async ({ name, start }) => {
      const session = `${kind}-${name.replaceAll(' ', '-').toLowerCase()}`;
      return start(place, session, `${kind} story over ${name}`);
    }),
  );
  for (const viewer of viewers) await eventually(() => viewer.text() === half);
  return viewers;
}

/** By wire: how the first stream was left, how often text was taken back, and what the user sees. */
async function outcomes(viewers: readonly WireViewer[]): Promise<Record<string, unknown>> {
  const all = viewers.map(
    async ({ name, left, takenBack, text }) => [name, [await left, takenBack(), text()]] as const,
  );
  return Object.fromEntries(await Promise.all(all));
}

it('kill -9 of the gateway › is noticed by the client of every wire, and each gets the whole answer from another gateway', async () => {
  onTestFailed(showLogs);
  const [first, second] = gateways;
  const viewers = await startViewers('gateway');
  proxy.leadTo(second?.port ?? 0);
  await first?.kill('SIGKILL');
  // The LangGraph client comes back by itself, and its user sees nothing of it.
  const noticing = viewers.filter(({ name }) => name !== 'LangGraph');
  for (const { name, left, text } of noticing) {
    expect([name, await left]).toEqual([name, expect.not.stringMatching(/^whole$/)]);
    expect([name, text()]).toEqual([name, half]);
  }
  const back = noticing.map(comeBack);
  model.goOn();
  await Promise.all([...back, ...viewers.filter((one) => !noticing.includes(one)).map(({ left }) => left)]);
  for (const { name, text } of viewers) expect([name, text()]).toEqual([name, whole]);
});

it('kill -9 of the worker › is invisible where another says the same, and said in its words by each wire where not', async () => {
  onTestFailed(showLogs);
  const [same, others] = await Promise.all([startViewers('same'), startViewers('other')]);
  await startNode('worker');
  await worker.kill('SIGKILL');
  const invisible = ['whole', 0, whole];
  expect(await outcomes(same)).toEqual(Object.fromEntries(WIRE_CLIENTS.map(({ name }) => [name, invisible])));
  expect(await outcomes(others)).toEqual({
    // Cannot take text back within a stream.
    'AI SDK': [expect.not.stringMatching(/^whole$/), 0, half],
    'Chat Completions': ['restarted', 0, half],
    LangGraph: ['restarted', 0, half],
    Responses: ['whole', 1, other],
    'AG-UI': ['whole', 1, other],
    A2A: ['whole', 1, other],
  });
  expect(model.toldAgain.size).toBe(same.length + others.length);
  const broken = others.filter(({ name }) => ['AI SDK', 'Chat Completions', 'LangGraph'].includes(name));
  await Promise.all(broken.map((viewer) => viewer.comeBack()));
  for (const { name, text } of others) expect([name, text()]).toEqual([name, other]);
});

/** A connection that the client kept may end with the killed gateway at the moment when it is used again. That request
 *  reached nobody, so it is made once more. */
async function comeBack(viewer: WireViewer): Promise<void> {
  try {
    await viewer.comeBack();
  } catch (error) {
    if (!isConnectionLost(error)) throw error;
    await viewer.comeBack();
  }
}

function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { readonly code?: unknown };
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || isConnectionLost(error.cause);
}

function showLogs(): void {
  console.error(nodes.flatMap(({ log }) => log.slice(-SHOWN_LINES)).join('\n'));
}
