// Plays every case of a model server against a real Holdline over sockets: checks what a reader of the stream receives,
// and what the history has afterwards.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import { call } from '../process/http-call.ts';
import { post, startedServer } from '../process/started-server.ts';
import { CaseUpstream } from './case-upstream.ts';
import { MODEL_CASES, type CaseExpectation, type ModelCase } from './model-case.ts';
import { answerOf, PlayedRun, type PlayedAnswer } from './played-run.ts';

vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const plain = MODEL_CASES.filter(({ env }) => env === undefined);
const configured = MODEL_CASES.filter(({ env }) => env !== undefined);

/** Each case is an agent, and one file has at most this many. */
const AGENTS_MAX = 32;

const upstream = await CaseUpstream.start(MODEL_CASES);
const folder = await mkdtemp(join(tmpdir(), 'holdline-cases-'));
const servers: ServerProcess[] = [];

beforeAll(async () => {
  for (let from = 0; from < plain.length; from += AGENTS_MAX) {
    const agents = plain.slice(from, from + AGENTS_MAX).map((played) => [played.case, { url: upstream.baseUrl(played.case), model: 'lab' }]);
    const path = join(folder, `${from}.json`);
    await writeFile(path, JSON.stringify({ agents: Object.fromEntries(agents) as unknown }));
    servers.push(await ServerProcess.start({ env: { HOLDLINE_AGENTS: path } }));
  }
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await upstream.close();
  await rm(folder, { recursive: true });
});

describe.concurrent('a model server', () => {
  it.each(plain.map((played, i) => [played.case, played, i] as const))('%s', async (name, played, i) => {
    await playCase(servers[Math.floor(i / AGENTS_MAX)] ?? expect.unreachable(), played, name);
  });
});

describe('a model server, with settings', () => {
  it.each(configured.map((played) => [played.case, played] as const))('%s', async (name, played) => {
    await playCase(await startedServer({ env: { HOLDLINE_MODEL_URL: upstream.baseUrl(name), HOLDLINE_MODEL: 'lab', ...played.env } }), played);
  });
});

async function playCase(to: ServerProcess, played: ModelCase, agent?: string): Promise<void> {
  let run: PlayedRun | undefined;
  let ms = 0;
  for (const [turn, { say, stopAfterMs }] of played.turns.entries()) {
    upstream.beginTurn(played.case, turn);
    const startedAt = performance.now();
    run = await playTurn(to, played.case, { content: say, ...(agent === undefined ? {} : { agent }) }, stopAfterMs);
    ms = performance.now() - startedAt;
  }
  if (run === undefined) throw new Error('a case has turns');
  expectRun(run, played.expect);
  expectRequests(upstream.requests(played.case), played.expect);
  if (played.expect.withinMs !== undefined) expect(ms).toBeLessThan(played.expect.withinMs);
  expect(await toldByHistory(to, played.case)).toEqual(run.answer());
}

async function playTurn(to: ServerProcess, sessionId: string, body: object, stopAfterMs: number | undefined): Promise<PlayedRun> {
  const sent = await post(to, `${sessionId}/messages`, body);
  expect(sent.status, JSON.stringify(sent.body)).toBe(202);
  const run = new PlayedRun(String(sent.body['runId']));
  const stream = await readSse({
    url: to.url,
    token: to.token,
    sessionId,
    cutAfter: (event) => {
      run.add(event);
      return false;
    },
  });
  if (stopAfterMs !== undefined) {
    await pause(stopAfterMs);
    await post(to, `${sessionId}/cancel`, {});
  }
  await stream.until(() => run.end !== undefined);
  stream.cut();
  return run;
}

function expectRun(run: PlayedRun, wanted: CaseExpectation): void {
  const { state, text, reasoning, tools, finishReason, usage, code, retryable } = wanted;
  const answer = run.answer();
  const end = run.end?.data as { finishReason?: string; usage?: unknown; error?: { code: string; retryable: boolean } };
  expect({ state: run.end?.event, error: end.error?.code }).toMatchObject({ state: `run.${state}` });
  if (text !== undefined) expect(answer.text).toBe(text);
  if (reasoning !== undefined) expect(answer.reasoning).toBe(reasoning);
  if (finishReason !== undefined) expect(end.finishReason).toBe(finishReason);
  if (usage !== undefined) expect(end.usage).toEqual(usage === 'unknown' ? undefined : usage);
  if (code !== undefined) expect(end.error?.code).toBe(code);
  if (retryable !== undefined) expect(end.error?.retryable).toBe(retryable);
  if (tools === undefined) return;
  const asJson = answer.tools.map((tool, i) => (tools[i]?.argsJson === undefined ? tool : { ...tool, args: undefined, argsJson: JSON.parse(tool.args ?? '') as unknown }));
  expect(asJson).toHaveLength(tools.length);
  expect(asJson).toMatchObject(tools as object[]);
}

function expectRequests(requests: number, { requestsMin = 0, requestsMax = Infinity }: CaseExpectation): void {
  expect(requests).toBeGreaterThanOrEqual(requestsMin);
  expect(requests).toBeLessThanOrEqual(requestsMax);
}

/** The last answer of the history. */
async function toldByHistory(to: ServerProcess, sessionId: string): Promise<PlayedAnswer> {
  const { body } = await call({ method: 'GET', url: `${to.url}/v1/sessions/${sessionId}/messages`, token: to.token });
  const messages = body['messages'] as readonly { role: string; content: string; parts?: Parameters<typeof answerOf>[0] }[];
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return answerOf([]);
  return answerOf(last.parts ?? [{ kind: 'text', text: last.content }]);
}
