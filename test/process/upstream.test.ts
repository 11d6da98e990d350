// The server with a model server behind it, over HTTP as a user sees it: send, stream, end. The model servers are two
// OpenAI-compatible packages of other authors, with and without faults, and one that is down.
import { fileURLToPath } from 'node:url';
import { LLMock } from '@copilotkit/aimock';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Child } from '../support/child.ts';
import { freePort, ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { call } from './http-call.ts';
import { JoinedStory, type JoinedRun } from './joined-story.ts';
import { follow, post, prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const STORY = 'Once upon a time, in a naïve 🏰, there lived a résumé. '.repeat(20);
const STEADY = { chunkSize: 3, streamingProfile: { ttft: 5, tps: 1000, jitter: 0.5 } };

let mock: LLMock;
let isModelUp = false;
let server: ServerProcess;
beforeAll(async () => {
  mock = new LLMock({ port: 0 });
  mock.onMessage('a story', { content: STORY }, STEADY);
  mock.onMessage('a slow story', { content: STORY }, { ...STEADY, streamingProfile: { ttft: 5, tps: 300 } });
  mock.onMessage('a cut story', { content: STORY }, { ...STEADY, truncateAfterChunks: 12 });
  mock.onMessage('a dropped story', { content: STORY }, { chunkSize: 3, latency: 5, disconnectAfterMs: 100 });
  mock.on(
    { userMessage: 'not yet', sequenceIndex: 0 },
    { error: { message: 'slow down', type: 'rate_limit_error' }, status: 429 },
  );
  mock.onMessage('not yet', { content: 'Now.' });
  mock.onMessage('always 429', { content: STORY }, { chaos: { rateLimitRate: 1 } });
  mock.onMessage('always 500', { content: STORY }, { chaos: { dropRate: 1 } });
  mock.onMessage('always malformed', { content: STORY }, { chaos: { malformedRate: 1 } });
  mock.onMessage('always dead', { content: STORY }, { chaos: { disconnectRate: 1 } });
  mock.onMessage('what did I say', { content: 'That.' });
  await mock.start();
  isModelUp = true;
  server = await ServerProcess.start({ env: { HOLDLINE_MODEL_URL: `${mock.url}/v1`, HOLDLINE_MODEL: 'some-model' } });
});
afterAll(async () => {
  await server.close();
  if (isModelUp) await mock.stop();
});

interface Answered {
  readonly run: JoinedRun;
  readonly text: string;
  readonly end: Readonly<Record<string, unknown>>;
  readonly deltas: number;
}

/** Sends a prompt and reads until its run has ended. */
async function ask(to: ServerProcess, sessionId: string, content: string): Promise<Answered> {
  const runId = await prompt(to, sessionId, content);
  const story = new JoinedStory();
  const stream = await follow(to, sessionId, story);
  await stream.until(() => story.hasEnded(runId));
  stream.cut();
  expect(story.violations).toEqual([]);
  const run = story.run(runId);
  const deltas = stream.events.filter(({ event }) => event === 'delta').length;
  return { run, text: story.text(runId), end: { event: run.end?.event, ...run.end?.data }, deltas };
}

function failedWith(code: string, retryable: boolean): unknown {
  return { event: 'run.failed', error: { code, retryable, message: expect.any(String) as string } };
}

/** The text without a half character at its end: the mock cuts between the two halves of an emoji too, and the log then
 *  holds U+FFFD for the half. */
function beforeHalf(text: string): string {
  return text.replace(/\ufffd$/, '');
}

describe.concurrent('aimock', () => {
  it('streams an answer', async () => {
    const { text, end, deltas } = await ask(server, 'story', 'a story, please');
    expect(text).toBe(STORY);
    expect(deltas).toBeGreaterThan(1);
    expect(end).toMatchObject({
      event: 'run.completed',
      finishReason: 'stop',
      length: STORY.length,
      usage: { outputTokens: expect.any(Number) as number },
    });
  });

  it('fails the run when it cuts the answer in the middle, and the text so far stays', async () => {
    const { text, end, run } = await ask(server, 'cut', 'a cut story');
    expect(end).toMatchObject(failedWith('upstream-truncated', true) as object);
    expect(text).toMatch(/.\ufffd$/);
    expect(STORY.startsWith(beforeHalf(text))).toBe(true);
    const { body } = await call({ method: 'GET', url: `${server.url}/v1/sessions/cut/messages`, token: server.token });
    expect(body['messages']).toMatchObject([
      { role: 'user' },
      { role: 'assistant', runId: run.runId, content: text, status: 'failed' },
    ]);
  });

  it('fails the run when it closes the connection in the middle', async () => {
    const { text, end } = await ask(server, 'dropped', 'a dropped story');
    expect(end).toMatchObject(failedWith('upstream-truncated', true) as object);
    expect(STORY.startsWith(beforeHalf(text))).toBe(true);
  });

  it('is called again when it asks for a later try', async () => {
    const { text, end } = await ask(server, 'patience', 'not yet');
    expect(end).toMatchObject({ event: 'run.completed' });
    expect(text).toBe('Now.');
  });

  it.each([
    ['always 429', 'upstream-rate-limited', true],
    ['always 500', 'upstream-error', true],
    ['always malformed', 'upstream-malformed', true],
    ['always dead', 'upstream-unreachable', true],
    ['something it does not know', 'upstream-refused', false],
  ])('%s ends as %s', async (content, code, retryable) => {
    const { text, end } = await ask(server, code, content);
    expect(end).toMatchObject(failedWith(code, retryable) as object);
    expect(text).toBe('');
  });

  it('receives the conversation so far', async () => {
    await ask(server, 'talk', 'a story');
    const { text } = await ask(server, 'talk', 'what did I say?');
    expect(text).toBe('That.');
    const asked = mock.getRequests().map(({ body }) => body as { model?: string; messages?: unknown[] } | null);
    expect(asked.find((body) => JSON.stringify(body).includes('what did I say'))).toMatchObject({
      model: 'some-model',
      messages: [
        { role: 'user', content: 'a story' },
        { role: 'assistant', content: STORY },
        { role: 'user', content: 'what did I say?' },
      ],
    });
  });

  it('emits no more text after a stop, and its connection is closed', async () => {
    const runId = await prompt(server, 'stopped', 'a slow story');
    const story = new JoinedStory();
    const stream = await follow(server, 'stopped', story);
    await stream.until(() => story.text(runId) !== '');
    expect((await post(server, 'stopped/cancel', {})).body).toEqual({ runId });
    await stream.until(() => story.hasEnded(runId));
    expect(story.run(runId).end?.event).toBe('run.cancelled');
    expect(STORY.startsWith(beforeHalf(story.text(runId)))).toBe(true);
    expect(story.text(runId).length).toBeLessThan(STORY.length);
  });
});

describe('a server killed in the middle of an answer', () => {
  it('requests the whole answer again from a model that cannot continue', async () => {
    const runId = await prompt(server, 'killed', 'a slow story');
    const story = new JoinedStory();
    const stream = await follow(server, 'killed', story);
    await stream.until(() => story.text(runId).length > 30);
    await server.kill('SIGKILL');
    await server.restart();
    await (await follow(server, 'killed', story)).until(() => story.hasEnded(runId));
    expect(story.text(runId)).toBe(STORY);
    expect(story.violations).toEqual([]);
    expect(story.steps.find(({ event }) => event === 'run.restarted')?.data).toMatchObject({
      attempt: 2,
      part: 0,
      at: 0,
    });
  });
});

describe('openai-mock-api', () => {
  it('streams an answer to a client with its key', async () => {
    const port = await freePort();
    const messages = [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'Hello from a second server.' },
    ];
    const config = JSON.stringify({ apiKey: 'mock-key', responses: [{ id: 'hello', messages }] });
    const cli = fileURLToPath(new URL('../../node_modules/openai-mock-api/dist/cli.js', import.meta.url));
    const model = new Child(process.execPath, [cli, '--config', '-', '--port', String(port)], { input: config });
    onTestFinished(async () => {
      await model.kill();
    });
    const env = {
      HOLDLINE_MODEL_URL: `http://127.0.0.1:${port}/v1`,
      HOLDLINE_MODEL: 'gpt-any',
      HOLDLINE_MODEL_KEY: 'mock-key',
    };
    const [knows] = await Promise.all([startedServer({ env }), model.line(/started on port/)]);
    const { text, end } = await ask(knows, 'hello', 'hello');
    expect(end).toMatchObject({ event: 'run.completed', finishReason: 'stop' });
    expect(text).toBe('Hello from a second server.');
    expect(knows.log.join('\n')).not.toContain('mock-key');
  });
});

// Last, because the model server is down from here on.
describe('a model server that is down', () => {
  it('fails the run as retryable', async () => {
    await mock.stop();
    isModelUp = false;
    expect((await ask(server, 'nobody', 'hello')).end).toMatchObject(
      failedWith('upstream-unreachable', true) as object,
    );
  });
});
