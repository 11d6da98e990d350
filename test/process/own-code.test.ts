// Agents with code of their own, in a server as its users run it. An error that the code does not handle ends the run
// that caused it, and the log names the agent; the server and all other runs continue.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { transformSync } from 'esbuild';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createChatClient } from '../../src/client/chat-client.ts';
import { agentsFolder, writeAgents } from '../support/agents-folder.ts';
import { Child, childEnv } from '../support/child.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

/** Text of a prompt, which no log line above the level debug may contain. */
const WORDS = 'words of a prompt';
const UNTIL_STOPPED = 'await new Promise((resolve) => signal.addEventListener("abort", resolve));';

const MODULES: Readonly<Record<string, string>> = {
  rejects: `export async function agent(_chat, _writer, signal) { Promise.reject(new RangeError("${WORDS}")); ${UNTIL_STOPPED} }`,
  deeper: `const work = async () => { await 1; throw new RangeError("${WORDS}"); };
    export async function agent(_chat, writer, signal) { await writer.text("kept"); setTimeout(() => void work(), 5); ${UNTIL_STOPPED} }`,
  throws: `export async function agent(_chat, _writer, signal) { setTimeout(() => { throw new RangeError("${WORDS}"); }, 5); ${UNTIL_STOPPED} }`,
  forgets: `export async function agent(chat, _writer, signal) { chat.ask("nobody", "${WORDS}"); ${UNTIL_STOPPED} }`,
  late: `export async function agent(_chat, writer) { await writer.text("done"); setTimeout(() => Promise.reject(new RangeError("${WORDS}")), 200); }`,
  module: `setTimeout(() => { throw new RangeError("${WORDS}"); }, 5);
    export async function agent(_chat, writer) { await writer.text("fine"); }`,
  copied: `import { AgentError } from "./another-copy.js";
    export async function agent() { throw new AgentError("no-such-order", "There is no such order.", { retryable: true }); }`,
  forged: `export async function agent() { throw Object.assign(new Error("${WORDS}"), { [Symbol.for("holdline.AgentError")]: true, code: "NOT A CODE" }); }`,
  asks: `export async function agent(chat) { await chat.ask("nobody", chat.prompt); }`,
  chooses: `export async function agent(chat) { await chat.ask("late", chat.prompt, { model: "other" }); }`,
};

/** One source as a module of its own. The build has no file for each source. */
function compiled(source: string): string {
  const text = readFileSync(new URL(`../../src/${source}`, import.meta.url), 'utf8');
  return transformSync(text, { loader: 'ts', format: 'esm' }).code;
}

function agentsFile(more: Readonly<Record<string, unknown>> = {}): string {
  const folder = agentsFolder(Object.fromEntries(Object.entries(MODULES).map(([name, text]) => [`${name}.js`, text])));
  writeFileSync(join(folder, 'another-copy.js'), compiled('worker/agent-error.ts'));
  const own = Object.keys(MODULES).map((name) => [name, { handler: `./${name}.js` }] as const);
  return writeAgents(folder, { ...Object.fromEntries(own), ...more });
}

async function askAgent(server: ServerProcess, agent: string) {
  const { status, body } = await post(server, `${agent}/messages`, { content: 'go', agent });
  expect(status, JSON.stringify(body)).toBe(202);
  const runId = String(body['runId']);
  const story = new JoinedStory();
  await (await follow(server, agent, story)).until(() => story.hasEnded(runId));
  const { event, data } = story.run(runId).end ?? {};
  return { event, error: data?.['error'] as { code?: string } | undefined, text: story.text(runId) };
}

type LogLine = Readonly<Record<string, unknown>>;

function logOf(server: ServerProcess): LogLine[] {
  return server.log.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
}

async function logged(server: ServerProcess, pattern: RegExp): Promise<LogLine> {
  const { input } = await server.child.line(pattern);
  return JSON.parse(input) as LogLine;
}

const FAILED = { event: 'run.failed', error: { code: 'agent-failed', message: 'the agent failed', retryable: true } };

describe('an error that the code of an agent does not handle', () => {
  it('ends the run that caused it and is logged with its agent, and all other runs continue', async () => {
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile(), HOLDLINE_LOG_LEVEL: 'debug' } });
    expect(await logged(server, /"agent":"module".*left an error to nobody/)).toMatchObject({
      level: 50,
      defect: 'RangeError',
    });
    expect(await askAgent(server, 'rejects')).toEqual({ ...FAILED, text: '' });
    expect(await askAgent(server, 'deeper')).toEqual({ ...FAILED, text: 'kept' });
    expect(await askAgent(server, 'throws')).toEqual({ ...FAILED, text: '' });
    expect(await askAgent(server, 'forgets')).toMatchObject({
      event: 'run.failed',
      error: { code: 'unknown-agent', retryable: false },
    });
    expect(await askAgent(server, 'late')).toMatchObject({ event: 'run.completed', text: 'done' });
    for (const agent of ['rejects', 'deeper', 'throws', 'late']) {
      const line = await logged(server, new RegExp(`"agent":"${agent}".*what is no AgentError`));
      expect(line).toMatchObject({
        level: 50,
        defect: 'RangeError',
        sessionId: expect.stringMatching(new RegExp(`(^|:)${agent}$`)) as string,
        runId: expect.any(String) as string,
      });
    }
    expect(await askAgent(server, 'module')).toMatchObject({ event: 'run.completed', text: 'fine' });
    expect(server.child.isRunning).toBe(true);
    // Only the level debug shows the text of the error.
    const told = logOf(server).filter((line) => JSON.stringify(line).includes(WORDS));
    expect(told.map(({ agent }) => agent)).toEqual(
      expect.arrayContaining(['module', 'rejects', 'deeper', 'throws', 'late']),
    );
    expect(told.filter(({ level }) => level !== 20)).toEqual([]);
  });

  it('ends the process when it comes from no agent', async () => {
    const scope = pathToFileURL(join(agentsFolder({ 'scope.mjs': compiled('sdk/agent-scope.ts') }), 'scope.mjs')).href;
    const script = (event: string): string => `import { watchStrays } from ${JSON.stringify(scope)};
      const stop = watchStrays(); watchStrays()(); ${event}; setTimeout(() => console.log('still there'), 500);`;
    for (const event of ['Promise.reject(new Error("mine"))', 'setTimeout(() => { throw new Error("mine"); }, 1)']) {
      const child = new Child(process.execPath, ['--input-type=module', '-e', script(event)], { env: childEnv() });
      const { code } = await child.exited;
      expect(code).not.toBe(0);
      expect(child.stderr).toContain('Error: mine');
      expect(child.stdout).toBe('');
    }
  });
});

describe('an agent of its own code', () => {
  it('fails with the message of an AgentError of another copy of the package, but not of an object that only looks like one', async () => {
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile() } });
    expect(await askAgent(server, 'copied')).toMatchObject({
      event: 'run.failed',
      error: { code: 'no-such-order', message: 'There is no such order.', retryable: true },
    });
    expect(await askAgent(server, 'forged')).toMatchObject(FAILED);
  });

  it('is refused at once when it asks an unknown agent, or asks an agent for a model that the agent does not have', async () => {
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile() } });
    expect(await askAgent(server, 'asks')).toMatchObject({
      event: 'run.failed',
      error: { code: 'unknown-agent', message: 'there is no agent nobody' },
    });
    expect(await askAgent(server, 'chooses')).toMatchObject({ event: 'run.failed', error: { code: 'unknown-model' } });
  });
});

describe('the list of agents', () => {
  it('is available to a client', async () => {
    const server = await startedServer({
      env: { HOLDLINE_AGENTS: agentsFile({ counter: { model: 'demo', description: 'counts' } }) },
    });
    const client = createChatClient({ baseUrl: server.url, token: server.token });
    onTestFinished(() => client.close());
    const { agents, isComplete } = await client.agents();
    expect(isComplete).toBe(true);
    expect(agents.map(({ name }) => name)).toEqual([...Object.keys(MODULES), 'counter']);
    expect(agents.at(-1)).toEqual({
      name: 'counter',
      description: 'counts',
      model: 'demo',
      models: ['demo'],
      isDefault: false,
      isDemo: true,
    });
    expect(agents[0]).toMatchObject({ isDemo: false });
  });
});

describe('a model server that fails a run', () => {
  async function answering(status: number, body: unknown): Promise<string> {
    const server: Server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('is logged as a warning with its status and code, and with a hint', async () => {
    const lost = await answering(404, { error: { code: 'model_not_found', message: WORDS } });
    const locked = await answering(401, { error: { code: 'invalid_api_key', message: WORDS } });
    const agents = {
      unversioned: { url: lost, model: 'm' },
      unknown: { url: `${lost}/v1`, model: 'm' },
      keyless: { url: `${locked}/v1`, model: 'm' },
      locked: { url: `${locked}/v1`, model: 'm', keyEnv: 'LOCKED_KEY' },
    };
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile(agents), LOCKED_KEY: 'sk-wrong' } });
    for (const [agent, why, hint] of [
      ['unversioned', /HTTP 404, model_not_found/, /ends in \/v1/],
      ['unknown', /HTTP 404, model_not_found/, undefined],
      ['keyless', /HTTP 401, invalid_api_key/, /none is configured/],
      ['locked', /HTTP 401, invalid_api_key/, /does not take the key in LOCKED_KEY/],
    ] as const) {
      expect(await askAgent(server, agent)).toMatchObject({
        event: 'run.failed',
        error: {
          code: 'upstream-refused',
          message: 'the model server refused the request: whoever runs this service must look at it',
        },
      });
      const line = await logged(server, new RegExp(`"agent":"${agent}".*a model server failed a run`));
      expect(line).toMatchObject({
        level: 40,
        tenant: 'default',
        sessionId: expect.stringMatching(new RegExp(`(^|:)${agent}$`)) as string,
        error: 'upstream-refused',
        why: expect.stringMatching(why) as string,
      });
      expect(line['hint']).toEqual(hint === undefined ? undefined : expect.stringMatching(hint));
    }
    expect(server.log.join('\n')).not.toContain(WORDS);
    expect(server.log.join('\n')).not.toContain('sk-wrong');
  });
});
