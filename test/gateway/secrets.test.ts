// Canaries: secret texts go into every input of a gateway, and of a worker with a model server and with agents in code,
// on good paths and bad. None of them may appear in log lines, metrics, traces, error bodies, or in anything that
// another user receives. Each path asserts its outcome, so that none of them is left out unnoticed.
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { reportRun } from '../../src/cli/run-report.ts';
import { inScope } from '../../src/sdk/agent-scope.ts';
import type { AgentHandler } from '../../src/sdk/agent-handler.ts';
import { logDefects } from '../../src/sdk/describe-defect.ts';
import { toAgent } from '../../src/sdk/handler-agent.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Runs } from '../../src/session/runs.ts';
import type { Agent } from '../../src/worker/agent.ts';
import { AgentError } from '../../src/worker/agent-error.ts';
import { createOpenAiProvider } from '../../src/worker/providers/openai/openai-provider.ts';
import { REST_MS_MAX } from '../../src/worker/credit-rule.ts';
import { Worker } from '../../src/worker/worker.ts';
import { collectSpans } from '../support/collected-spans.ts';
import { startHarness, type Address, type Answer, type Harness } from '../support/gateway-harness.ts';
import { sendRaw, statusesOf } from '../support/gateway-raw-http.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';
import {
  CUT,
  deltaEvent,
  DONE,
  errorReply,
  finishEvent,
  ScriptedUpstream,
  sse,
  STALL,
  textEvent,
  type Reply,
  type UpstreamRequest,
} from '../support/scripted-upstream.ts';
import { eventually } from '../support/wait-for.ts';

const PROMPT = 'canary-prompt-5f2a';
const EDITED = 'canary-edited-6d15';
const ANSWER = 'canary-answer-b301';
const REASONING = 'canary-reasoning-8e40';
const ARGUMENTS = 'canary-arguments-2d9f';
const RESULT = 'canary-result-c07b';
const TITLE = 'canary-title-91bc';
const METADATA = 'canary-metadata-e5a3';
const SYSTEM = 'canary-system-prompt-70d4';
const MODEL_KEY = 'canary-model-key-1f68';
const UPSTREAM = 'canary-upstream-text-9ab2';
const TICKET = 'canary-ticket-d00d-d00d-d00d';
const QUERY = 'canary-query-77de';
const COOKIE = 'canary-cookie-03aa';
/** The user whose texts these are. */
const SUB = 'canary-user-4c1d';
const OTHER = 'other';

const INPUTS = [PROMPT, EDITED, TITLE, METADATA, SYSTEM, MODEL_KEY, TICKET, QUERY, COOKIE, SUB];
const OUTPUTS = [ANSWER, REASONING, ARGUMENTS, RESULT, UPSTREAM];

/** Made by the gateway or signed by the test. */
const issued = new Set<string>();
/** What must hold no canary: the bodies of all errors, and everything that another user received. */
const told: string[] = [];
const collected = collectSpans();

beforeEach(() => {
  issued.clear();
  told.length = 0;
});

const said = { content: `${ANSWER}.` };
const error = { message: `${UPSTREAM}: ${PROMPT}, key ${MODEL_KEY}`, type: UPSTREAM, code: UPSTREAM, param: PROMPT };

/** What the model server does, by the last word of the prompt, and the code of the run's error where it fails. */
const FAILURES: Readonly<Record<string, readonly [reply: Reply, code: string]>> = {
  refused: [errorReply(400, error), 'upstream-refused'],
  key: [errorReply(401, error), 'upstream-refused'],
  reported: [{ steps: [deltaEvent(said), sse({ error })] }, 'upstream-error'],
  malformed: [{ steps: [deltaEvent(said), `data: {"choices": ${UPSTREAM} ${PROMPT}\n\n`] }, 'upstream-malformed'],
  page: [
    { headers: { 'content-type': 'text/html' }, steps: [`<html>${UPSTREAM} ${PROMPT}</html>`] },
    'upstream-malformed',
  ],
  cut: [{ steps: [deltaEvent(said), CUT] }, 'upstream-truncated'],
};

interface System extends Address {
  readonly h: Harness;
  /** Lets the model go on with its answers. */
  readonly goOn: () => void;
}

async function startSystem(): Promise<System> {
  const h = await startHarness({ config: { bodyBytesMax: 20_000, ticketsPerUserMax: 5 } });
  const address = await h.listen();
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  const upstream = await ScriptedUpstream.start((request) => reply(request, held));
  onTestFinished(() => upstream.close());
  const worker = startWorker(h, upstream.baseUrl);
  onTestFinished(() => worker.close());
  return { h, ...address, goOn };
}

function reply({ body }: UpstreamRequest, held: Promise<void>): Reply {
  const { messages } = body as { readonly messages: readonly { readonly content: string }[] };
  const [, word = ''] = messages.at(-1)?.content.split(' ') ?? [];
  const call = { index: 0, id: 'call-1', type: 'function', function: { name: 'look', arguments: `"${ARGUMENTS}"` } };
  if (word === 'hold') return { steps: [textEvent(ANSWER), STALL] };
  return (
    FAILURES[word]?.[0] ?? {
      steps: [
        deltaEvent({ reasoning_content: REASONING }),
        deltaEvent(said),
        deltaEvent({ tool_calls: [call] }),
        held,
        finishEvent(),
        DONE,
      ],
    }
  );
}

/** Agents in code. `thrower` has the defect whose message quotes its prompt. */
const HANDLERS: Readonly<Record<string, AgentHandler>> = {
  tool: async (_chat, writer) => {
    await writer.reasoning(REASONING);
    await writer.toolCall({ id: 'c', name: 'look', arguments: { q: ARGUMENTS } });
    await writer.toolResult('c', { found: RESULT });
    await writer.toolError('c', RESULT);
    await writer.text(ANSWER);
  },
  failer: async ({ prompt }) => Promise.reject(new AgentError('no-such-order', `there is no ${prompt}`)),
  thrower: async ({ prompt }) => Promise.reject(new Error(`cannot answer ${prompt}`)),
};

function startWorker(h: Harness, baseUrl: string): Worker {
  const { broker, clock, logger } = h;
  const log = new CommandLog(
    broker,
    () => 0.5,
    (ended) => reportRun(logger, h.gateway.metrics, ended),
  );
  let ids = 0;
  const runs = new Runs(broker, log, clock, () => `worker-${(ids += 1)}`);
  const onDefect = logDefects(logger);
  const deps = { broker, runs, clock, onDefect, blocks: { run: inScope }, onBlocked: () => undefined };
  const model: Agent = {
    name: 'default',
    provider: createOpenAiProvider({ baseUrl, apiKey: MODEL_KEY, clock, random: () => 0.5 }),
    model: 'm',
    systemPrompt: SYSTEM,
    takeover: 'continue',
    attemptsMax: 5,
    conversationChars: 100_000,
  };
  const coded = Object.entries(HANDLERS).map(([name, handler]) => toAgent(name, handler, deps));
  const agents = new Map([model, ...coded].map((agent) => [agent.name, agent]));
  const worker = new Worker({ broker, log, runs, clock, logger, agents, concurrency: 8 });
  worker.start();
  return worker;
}

/** Makes a request with the expected status. */
async function ask(h: Harness, status: number, ...request: Parameters<Harness['call']>): Promise<Answer> {
  const answer = await h.call(...request);
  expect(answer.status, request.slice(0, 2).join(' ')).toBe(status);
  if (status >= 400 || request[2] === OTHER) told.push(answer.text);
  return answer;
}

async function send(h: Harness, sessionId: string, body: object): Promise<string> {
  const answer = await ask(h, 202, 'POST', `/v1/sessions/${sessionId}/messages?q=${QUERY}`, SUB, body);
  return String(answer.body['runId']);
}

/** Waits until the run has ended; the session is of the tenant. */
async function ended(h: Harness, sessionId: string, runId: string): Promise<unknown> {
  const open = async (): Promise<boolean> => {
    const loaded = await h.commandLog.load({ tenant: 'default', sessionId });
    return loaded?.state.runs.some((run) => run.runId === runId) ?? false;
  };
  await eventually(async () => !(await open()));
  const { body } = await ask(h, 200, 'GET', `/v1/sessions/${sessionId}/runs`, SUB);
  return (body['runs'] as { readonly runId: string }[]).find((run) => run.runId === runId);
}

/** The worker rests after failures in a row, so the clock moves until it takes the run. */
async function begun(h: Harness, sessionId: string, runId: string): Promise<void> {
  await eventually(async () => {
    const loaded = await h.commandLog.load({ tenant: 'default', sessionId });
    const run = loaded?.state.runs.find((one) => one.runId === runId);
    if (run?.state === 'queued') await h.clock.advance(REST_MS_MAX);
    return run?.state !== 'queued';
  });
}

async function buyTicket(h: Harness): Promise<string> {
  const { body } = await ask(h, 201, 'POST', '/v1/tickets', SUB, {});
  const ticket = String(body['ticket']);
  issued.add(ticket);
  return ticket;
}

async function openSocket({ h, wsUrl }: System, sub = SUB): Promise<WsClient> {
  const token = h.token(sub);
  issued.add(token).add(token.split('.')[2] ?? token);
  const client = await WsClient.open(wsUrl);
  client.send({ type: 'auth', token });
  return client;
}

/** A chat from its title to a second answer, read over both wires and as text. */
async function chatPaths(system: System): Promise<void> {
  const { h, port, goOn } = system;
  await ask(h, 201, 'POST', '/v1/sessions', SUB, { sessionId: 's', title: TITLE, metadata: { note: METADATA } });
  await ask(h, 200, 'PATCH', '/v1/sessions/s', SUB, { title: `${TITLE}-2`, metadata: { [METADATA]: METADATA } });
  const runId = await send(h, 's', { messageId: 'm1', content: PROMPT });
  const cookie = { cookie: `x=${COOKIE}` };
  const events = await SseClient.open(port, `/v1/sessions/s/events?ticket=${await buyTicket(h)}&q=${QUERY}`, cookie);
  const setCookie = (await events.head).headers.get('set-cookie') ?? '';
  issued.add(setCookie.slice(0, 60));
  const text = await SseClient.open(port, `/v1/sessions/s/text?ticket=${await buyTicket(h)}`, cookie);
  expect([(await events.head).status, (await text.head).status]).toEqual([200, 200]);
  const socket = await openSocket(system);
  socket.send({ type: 'subscribe', sessionId: 's' });
  await events.events.until((seen) => JSON.stringify(seen).includes(ARGUMENTS));
  await socket.frames.until((seen) => JSON.stringify(seen).includes(ARGUMENTS));
  await eventually(() => text.body.includes(ANSWER));

  await send(h, 's', { messageId: 'm2', content: PROMPT });
  await ask(h, 204, 'PATCH', '/v1/sessions/s/messages/m2', SUB, { content: EDITED });
  await ask(h, 204, 'DELETE', '/v1/sessions/s/messages/m2', SUB);
  const overSocket = async (type: string, fields: object = {}): Promise<void> => {
    expect(await socket.ask({ type, requestId: type, sessionId: 's', ...fields })).toMatchObject({ type: 'ok' });
  };
  await overSocket('send', { messageId: 'm3', content: PROMPT });
  await overSocket('edit', { messageId: 'm3', content: EDITED });
  await overSocket('withdraw', { messageId: 'm3' });
  goOn();
  expect(await ended(h, 's', runId)).toMatchObject({ state: 'completed' });

  const again = await ask(h, 202, 'POST', '/v1/sessions/s/messages/m1/regenerate', SUB, {});
  expect(await ended(h, 's', String(again.body['runId']))).toMatchObject({ state: 'completed' });
  await overSocket('regenerate', { messageId: 'm1' });
  await socket.frames.until(
    (seen) => JSON.stringify(seen).split('"run.completed"').length - 1 === 3, // one for each answer
  );
  await ask(h, 204, 'PUT', '/v1/sessions/s/branch', SUB, { runId });
  const history = await ask(h, 200, 'GET', '/v1/sessions/s/messages', SUB);
  expect(history.text).toContain(ANSWER);
}

async function cancelPaths(system: System): Promise<void> {
  const { h } = system;
  const socket = await openSocket(system);
  for (const sessionId of ['c1', 'c2']) {
    const runId = await send(h, sessionId, { content: `${PROMPT} hold` });
    await eventually(async () =>
      (await h.call('GET', `/v1/sessions/${sessionId}/messages`, SUB)).text.includes(ANSWER),
    );
    if (sessionId === 'c1') await ask(h, 202, 'POST', '/v1/sessions/c1/cancel', SUB, {});
    else expect(await socket.ask({ type: 'cancel', requestId: 'x', sessionId })).toMatchObject({ type: 'ok' });
    expect(await ended(h, sessionId, runId)).toMatchObject({ state: 'cancelled' });
  }
}

async function failurePaths({ h }: System): Promise<void> {
  for (const [word, [, code]] of Object.entries(FAILURES)) {
    const runId = await send(h, `f-${word}`, { content: `${PROMPT} ${word}` });
    await begun(h, `f-${word}`, runId);
    expect([word, await ended(h, `f-${word}`, runId)]).toMatchObject([word, { state: 'failed', error: { code } }]);
  }
  const states = { tool: 'completed', failer: 'failed', thrower: 'failed' };
  for (const [agent, state] of Object.entries(states)) {
    const runId = await send(h, `a-${agent}`, { content: PROMPT, agent });
    expect([agent, await ended(h, `a-${agent}`, runId)]).toMatchObject([agent, { state }]);
  }
}

async function refusedPaths(system: System): Promise<void> {
  const { h, port, wsUrl } = system;
  const expired = h.token(SUB, { exp: 1 });
  issued.add(expired).add(expired.split('.')[2] ?? expired);
  const messages = '/v1/sessions/s/messages';
  await ask(h, 400, 'POST', messages, SUB, { content: { secret: PROMPT } });
  await ask(h, 400, 'POST', messages, SUB, { content: PROMPT, priority: PROMPT });
  await ask(h, 400, 'POST', messages, SUB, { content: PROMPT, agent: `${PROMPT}!` });
  await ask(h, 400, 'POST', '/v1/sessions', SUB, { title: [TITLE], metadata: METADATA });
  await ask(h, 400, 'GET', `/v1/sessions/s/events?after=${QUERY}`, SUB);
  await ask(h, 401, 'GET', '/v1/sessions', `Bearer ${expired}`);
  await ask(h, 401, 'GET', `/v1/sessions/s?token=${expired}`);
  await ask(h, 401, 'GET', `/v1/sessions/s/events?ticket=${TICKET}&q=${QUERY}`);
  await ask(h, 404, 'GET', `/nothing?q=${QUERY}`, SUB);
  await ask(h, 404, 'PATCH', `${messages}/${QUERY}`, SUB, { content: EDITED });
  await ask(h, 409, 'POST', messages, SUB, { messageId: 'm1', content: EDITED });
  await ask(h, 409, 'PATCH', `${messages}/m1`, SUB, { content: EDITED });
  await ask(h, 413, 'POST', messages, SUB, { content: PROMPT.repeat(2_000) });
  for (let bought = 2; bought < 5; bought += 1) await buyTicket(h);
  await ask(h, 429, 'POST', '/v1/tickets', SUB, {});
  const head = `POST ${messages}?q=${QUERY} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: ${h.bearer(SUB)}\r\n`;
  const raw = async (status: number, type: string, body: string): Promise<void> => {
    const sent = `content-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const answer = await sendRaw(port, head + sent);
    expect(statusesOf(answer)).toEqual([status]);
    told.push(answer);
  };
  await raw(400, 'application/json', PROMPT);
  await raw(415, 'text/plain', PROMPT);
  const broken = await sendRaw(port, `${head}${QUERY} ${COOKIE}\r\n\r\n`);
  expect(statusesOf(broken)).toEqual([400]);
  told.push(broken);

  const socket = await openSocket(system);
  const refused = [
    { type: 'send', requestId: 'r1', sessionId: 's', content: { secret: PROMPT } },
    { type: 'send', requestId: 'r2', sessionId: 's', content: EDITED, messageId: 'm1' },
    { type: 'edit', requestId: 'r3', sessionId: 's', content: EDITED, messageId: 'none' },
  ];
  for (const frame of refused) {
    const answer = await socket.ask(frame);
    expect(answer.type).toBe('error');
    told.push(JSON.stringify(answer));
  }
  socket.send(`{"type": ${PROMPT}`);
  const late = await WsClient.open(wsUrl);
  late.send({ type: 'auth', token: expired });
  const closes = await Promise.all([socket.closed, late.closed]);
  expect(closes.map(({ code }) => code)).toEqual([4400, 4401]);
  told.push(...closes.map(({ reason }) => reason));
}

/** What another user receives of the same chats. */
async function otherUser(system: System): Promise<void> {
  const { h } = system;
  const url = '/v1/sessions/s';
  await ask(h, 200, 'GET', '/v1/sessions', OTHER);
  for (const path of ['', '/messages', '/runs', '/branches', '/events', '/text'])
    await ask(h, 404, 'GET', url + path, OTHER);
  await ask(h, 404, 'PATCH', url, OTHER, { title: 'x' });
  await ask(h, 404, 'DELETE', url, OTHER);
  await ask(h, 404, 'POST', `${url}/cancel`, OTHER, {});
  await ask(h, 404, 'POST', `${url}/messages`, OTHER, { messageId: 'm1', content: 'x' });
  await ask(h, 404, 'PATCH', `${url}/messages/m1`, OTHER, { content: 'x' });
  await ask(h, 404, 'POST', `${url}/messages/m1/regenerate`, OTHER, {});
  const socket = await openSocket(system, OTHER);
  socket.send({ type: 'subscribe', sessionId: 's' });
  const frame = { requestId: 'r', sessionId: 's', messageId: 'm1', content: 'x' };
  for (const type of ['send', 'edit', 'withdraw', 'regenerate', 'cancel'])
    expect(await socket.ask({ ...frame, type, requestId: type })).toMatchObject({ type: 'error', code: 'not-found' });
  await socket.frames.first((one) => one.type === 'error' && one['sessionId'] === 's');
  told.push(JSON.stringify(socket.frames.seen));
}

/** The storage fails during a prompt. */
async function defects(system: System): Promise<void> {
  const { h } = system;
  const append = h.broker.append.bind(h.broker);
  h.broker.append = () => Promise.reject(new Error('broken'));
  await ask(h, 500, 'POST', `/v1/sessions/s/messages?q=${QUERY}`, SUB, { content: PROMPT });
  const socket = await openSocket(system);
  const answer = await socket.ask({ type: 'send', requestId: 'r', sessionId: 's', content: PROMPT });
  expect(answer).toMatchObject({ type: 'error', code: 'internal' });
  told.push(JSON.stringify(answer));
  h.broker.append = append;
}

describe('secrets', () => {
  it('are in no log line, error body, metric or span, and reach no other user', async () => {
    const system = await startSystem();
    const { h } = system;
    await chatPaths(system);
    await cancelPaths(system);
    await failurePaths(system);
    await refusedPaths(system);
    await otherUser(system);
    await defects(system);
    const metrics = await ask(h, 200, 'GET', '/metrics');
    const spans = collected().map(({ name, attributes, events, status }) =>
      JSON.stringify({ name, attributes, events, status }),
    );
    // An error of an agent's own code has its message in the log at the level debug, and nowhere else. [worker-sdk.md]
    const [quoting, rest] = partition(h.logged, (line) => line.includes('"what the agent threw"'));
    expect(quoting.map((line) => (JSON.parse(line) as { level: number }).level)).toEqual([20]);

    // Each source has lines of the paths above.
    for (const message of [
      'broken',
      'run ended',
      'a model server failed a run',
      'an agent threw what is no AgentError',
    ])
      expect(rest.some((line) => line.includes(message))).toBe(true);
    expect(metrics.text).toContain('holdline_runs_total');
    expect(spans.some((span) => span.includes('upstream-refused'))).toBe(true);
    for (const secret of [...INPUTS, ...OUTPUTS, ...issued]) {
      const has = (text: string): boolean => text.includes(secret);
      expect(rest.filter(has)).toEqual([]);
      expect(told.filter(has)).toEqual([]);
      expect([metrics.text, ...spans].filter(has)).toEqual([]);
    }
  });
});

function partition<T>(items: readonly T[], fits: (item: T) => boolean): [T[], T[]] {
  return [items.filter(fits), items.filter((item) => !fits(item))];
}

it('log messages are constant and lower-case for every request', async () => {
  const h = await startHarness();
  h.broker.describe = () => Promise.reject(new Error('x'));
  await h.call('GET', '/v1/sessions/a%0A"b', 'ann');
  await h.call('GET', '/v1/sessions/a', 'ann');
  const messages = h.logged.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages).toContain('request failed');
  for (const message of messages) expect(message).toMatch(/^[a-z ]+$/);
});
