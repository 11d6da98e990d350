// The file of agents: what it may and may not contain, with the place of every fault; and a server that runs with one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { readConfig } from '../../src/cli/config/config.ts';
import type { Environment } from '../../src/cli/config/environment.ts';
import { answer, ScriptedUpstream } from '../support/scripted-upstream.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { configFaults } from './config-faults.ts';
import { counted, JoinedStory } from './joined-story.ts';
import { follow, post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const ON_REDIS = { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_JWT_SECRET: SECRET };
const POET = { model: 'verse' };

function agentsFile(content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-agents-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'agents.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const faultsOf = (content: unknown, env: Environment = {}): string[] =>
  configFaults({ HOLDLINE_AGENTS: agentsFile(content), ...env });

describe('the file of agents', () => {
  it.each<[string, unknown, RegExp]>([
    [
      'is not JSON',
      '{"agents": sk-not-a-secret}',
      /^HOLDLINE_AGENTS: \S+agents\.json:1:12: not JSON: a value is expected$/,
    ],
    [
      'has a comma too many',
      '{\n  "agents": {\n    "poet": { "model": "sk-not-a-secret", }\n  }\n}',
      /agents\.json:3:43: not JSON: the name of a field .* a comma too many\?$/,
    ],
    [
      'lacks a comma',
      '{ "agents": {\n "poet": { "model": "m" }\n "coder": {} } }',
      /agents\.json:3:2: not JSON: a comma or } is expected$/,
    ],
    ['ends too early', '{ "agents": {\n', /agents\.json:2:1: not JSON: the text ends where/],
    ['has a comment', '{\n // ours\n "agents": {} }', /agents\.json:2:2: not JSON: JSON has no comments$/],
    ['has single quotes', "{ 'agents': {} }", /agents\.json:1:3: not JSON: texts stand in double quotes$/],
    [
      'has a text without an end',
      '{ "agents": { "poet": { "model": "sk-not-a-secret\n } } }',
      /agents\.json:1:34: not JSON: a text without an end/,
    ],
    [
      'names an agent twice',
      '{ "agents": { "poet": { "model": "a" },\n "poet": { "model": "b" } } }',
      /agents\.json:2:2: not JSON: this field stands twice/,
    ],
    ['is empty', '', /agents\.json:1:1: not JSON: the text ends where a value is expected$/],
    ['is no object', [], /^HOLDLINE_AGENTS: the file: must be object$/],
    ['names no agents', { agents: {} }, /^HOLDLINE_AGENTS: agents: /],
    [
      'has another field',
      { agents: { poet: POET }, version: 2 },
      /^HOLDLINE_AGENTS: version: is not a field of this file$/,
    ],
    [
      'names an agent as no topic can be',
      { agents: { 'a/b': POET } },
      /^HOLDLINE_AGENTS: agents\.a\/b: is not a name for an agent/,
    ],
    ['has a name that is too long', { agents: { ['x'.repeat(49)]: POET } }, /is not a name for an agent/],
    [
      'misspells a field',
      { agents: { poet: { ...POET, takover: 'fail' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.takover: is not a field of this file: do you mean takeover\?$/,
    ],
    [
      'misspells a field of a field',
      { agents: { poet: { ...POET, timeouts: { idelMs: 5 } } } },
      /^HOLDLINE_AGENTS: agents\.poet\.timeouts\.idelMs: is not a field of this file: do you mean idleMs\?$/,
    ],
    [
      'misspells the only field of all',
      { agent: {}, agents: { poet: POET } },
      /^HOLDLINE_AGENTS: agent: is not a field of this file: do you mean agents\?$/,
    ],
    [
      'forgets the model',
      { agents: { poet: {} } },
      /^HOLDLINE_AGENTS: agents\.poet: must have required properties model$/,
    ],
    [
      'holds a key',
      { agents: { poet: { ...POET, apiKey: 'sk-not-a-secret' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.apiKey: a key does not belong in this file: .* keyEnv$/,
    ],
    [
      'holds a key where its variable should stand',
      { agents: { poet: { ...POET, keyEnv: 'sk-not-a-secret' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.keyEnv: must match/,
    ],
    [
      'names a variable that is not there',
      { agents: { poet: { ...POET, keyEnv: 'POET_KEY' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.keyEnv: names a variable that is not set$/,
    ],
    [
      'has an address that is none',
      { agents: { poet: { ...POET, url: 'ftp://models' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.url: must be the http\(s\) base URL/,
    ],
    [
      'has credentials in an address',
      { agents: { poet: { ...POET, url: 'http://me:sk-not-a-secret@models/v1' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.url: must not carry credentials/,
    ],
    [
      'knows another takeover',
      { agents: { poet: { ...POET, takeover: 'perhaps' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.takeover: must be one of continue, restart, fail$/,
    ],
    [
      'has a limit that is none',
      { agents: { poet: { ...POET, concurrency: 0 } } },
      /^HOLDLINE_AGENTS: agents\.poet\.concurrency: must be >= 1$/,
    ],
    [
      'asks a model server for an agent of its own code',
      { agents: { poet: { handler: './poet.js', url: 'http://models/v1' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.url: is for a model server/,
    ],
    [
      'has a timeout in a string',
      { agents: { poet: { ...POET, timeouts: { idleMs: '5s' } } } },
      /^HOLDLINE_AGENTS: agents\.poet\.timeouts\.idleMs: must be integer$/,
    ],
    [
      'has a timeout above an hour',
      { agents: { poet: { ...POET, timeouts: { firstByteMs: 3_600_001 } } } },
      /^HOLDLINE_AGENTS: agents\.poet\.timeouts\.firstByteMs: must be <= 3600000$/,
    ],
    [
      'tries again what may not be tried again',
      { agents: { poet: { model: 'm', takeover: 'fail', upstreamRetries: 2 } } },
      /^HOLDLINE_AGENTS: agents\.poet\.upstreamRetries: another attempt would fail with this takeover$/,
    ],
    [
      'sends the tenant to an agent of its own code',
      { agents: { poet: { handler: './poet.js', sendTenant: true } } },
      /^HOLDLINE_AGENTS: agents\.poet\.sendTenant: is for a model server/,
    ],
    [
      'lets an agent of its own code wait for calls of the client',
      { agents: { poet: { handler: './poet.js', clientTools: 'wait' } } },
      /^HOLDLINE_AGENTS: agents\.poet\.clientTools: is for a model server/,
    ],
    [
      'allows an option that there is not',
      { agents: { poet: { ...POET, allow: ['temperature', 'n'] } } },
      /^HOLDLINE_AGENTS: agents\.poet\.allow\.1: /,
    ],
    [
      'has a bucket without a rate',
      { agents: { poet: { ...POET, tokensBurst: 5 } } },
      /^HOLDLINE_AGENTS: agents\.poet\.tokensBurst: needs tokensPerSecond$/,
    ],
  ])('has one fault, with its place, when it %s', (_what, content, why) => {
    const faults = faultsOf(content);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(why);
    expect(faults[0]).not.toContain('not-a-secret');
  });

  it('says which options an agent takes: of a handler those that it declares', () => {
    const agents = {
      poet: { ...POET, allow: ['temperature'] },
      other: POET,
      code: { handler: './code.js' },
      ready: { handler: './code.js', allow: ['seed'] },
    };
    const { agents: read } = readConfig({ HOLDLINE_AGENTS: agentsFile({ agents }) });
    expect(read.map(({ name, entry }) => [name, entry.allow])).toEqual([
      ['poet', ['temperature']],
      ['other', undefined],
      ['code', []],
      ['ready', ['seed']],
    ]);
  });

  it('may have a timeout of an hour', () => {
    const agents = { poet: { ...POET, timeouts: { firstByteMs: 3_600_000, idleMs: 3_600_000 } } };
    expect(configFaults({ HOLDLINE_AGENTS: agentsFile({ agents }) })).toEqual([]);
  });

  it('may have rates on every engine', () => {
    const content = { agents: { poet: { ...POET, tokensPerSecond: 100 } } };
    expect(faultsOf(content)).toEqual([]);
    expect(faultsOf(content, ON_REDIS)).toEqual([]);
  });

  it('reports all its faults at once, with those of the environment', () => {
    const faults = faultsOf({ agents: { poet: { models: 'all' }, coder: { ...POET, attemptsMax: 0 } } }, { PORT: 'x' });
    expect(faults.map((fault) => fault.split(': ').slice(0, 2).join(' '))).toEqual([
      expect.stringMatching(/^PORT /),
      'HOLDLINE_AGENTS agents.poet',
      'HOLDLINE_AGENTS agents.poet.models',
      'HOLDLINE_AGENTS agents.coder.attemptsMax',
    ]);
  });

  it('may begin with a byte order mark, and may choose the names of its key variables', () => {
    const content = `\ufeff${JSON.stringify({ agents: { poet: { ...POET, keyEnv: 'HOLDLINE_POET_KEY' } } })}`;
    expect(faultsOf(content, { HOLDLINE_POET_KEY: 'sk-1' })).toEqual([]);
    expect(faultsOf(content, { HOLDLINE_POET_KEY: 'sk-1', ...ON_REDIS, HOLDLINE_ROLE: 'gateway' })).toEqual([]);
  });

  it('is a fault when it does not exist', () => {
    expect(() => readConfig({ HOLDLINE_AGENTS: '/nowhere/agents.json' })).toThrow(/HOLDLINE_AGENTS: .*no such file/);
  });

  it.each<[string, Environment, unknown, string[]]>([
    [
      'both describe the default agent',
      { HOLDLINE_MODEL: 'm' },
      { default: POET },
      ['HOLDLINE_MODEL: describes the agent default, and so does the file of HOLDLINE_AGENTS: only one of them may'],
    ],
    [
      'a worker is to serve an agent that is none',
      { HOLDLINE_SERVE: 'poet,coder' },
      { poet: POET },
      ['HOLDLINE_SERVE: names coder, which is no agent of the configuration'],
    ],
    [
      'a worker is left without an agent',
      { ...ON_REDIS, HOLDLINE_ROLE: 'worker' },
      { poet: { ...POET, serve: false } },
      [expect.stringMatching(/^HOLDLINE_SERVE: must name an agent/) as string],
    ],
  ])('is refused where %s', (_what, env, agents, faults) => {
    expect(faultsOf({ agents }, env)).toEqual(faults);
  });

  it.each<[string, Environment, unknown, Record<string, boolean>]>([
    ['all of its agents', {}, { poet: POET, coder: POET }, { poet: true, coder: true }],
    [
      'those that it does not leave to others',
      {},
      { poet: POET, coder: { ...POET, serve: false } },
      { poet: true, coder: false },
    ],
    [
      'those that HOLDLINE_SERVE names',
      { HOLDLINE_SERVE: 'coder' },
      { poet: POET, coder: { ...POET, serve: false } },
      { poet: false, coder: true },
    ],
    [
      'the default agent beside them, where the environment describes one',
      { HOLDLINE_MODEL: 'm' },
      { poet: POET },
      { default: true, poet: true },
    ],
    [
      'none in a gateway of its own, which needs none of their keys',
      { ...ON_REDIS, HOLDLINE_ROLE: 'gateway' },
      { poet: { ...POET, keyEnv: 'POET_KEY' } },
      { poet: false },
    ],
  ])('has the worker serve %s', (_what, env, agents, wanted) => {
    const config = readConfig({ HOLDLINE_AGENTS: agentsFile({ agents }), ...env });
    expect(Object.fromEntries(config.agents.map(({ name, isServed }) => [name, isServed]))).toEqual(wanted);
  });

  it('is not needed by a gateway without a worker, which then knows no agents', () => {
    expect(readConfig({ ...ON_REDIS, HOLDLINE_ROLE: 'gateway' }).agents).toEqual([]);
  });
});

/** Sends a prompt to an agent, and follows the chat into the story. */
async function ask(server: ServerProcess, sessionId: string, body: object, story = new JoinedStory()) {
  const { status, body: sent } = await post(server, `${sessionId}/messages`, body);
  expect(status, JSON.stringify(sent)).toBe(202);
  return { runId: String(sent['runId']), story, stream: await follow(server, sessionId, story) };
}

describe('a server with a file of agents', () => {
  it('answers each prompt with its agent, and refuses a prompt for an unknown agent', async () => {
    const upstream = await ScriptedUpstream.start([answer('roses ', 'are red')]);
    onTestFinished(() => upstream.close());
    const agents = {
      poet: { url: upstream.baseUrl, keyEnv: 'POET_KEY', model: 'verse', systemPrompt: 'rhyme' },
      counter: { model: 'demo' },
    };
    const server = await startedServer({
      env: { HOLDLINE_AGENTS: agentsFile({ agents }), POET_KEY: 'sk-of-the-poet' },
    });
    const poem = await ask(server, 'a', { content: 'a poem', agent: 'poet' });
    const count = await ask(server, 'b', { content: 'count 5 at 1000/s', agent: 'counter' });
    await Promise.all([poem, count].map(({ stream, story, runId }) => stream.until(() => story.hasEnded(runId))));
    expect([poem.story.text(poem.runId), count.story.text(count.runId)]).toEqual(['roses are red', counted(5)]);
    const asked = await upstream.request(0);
    expect(asked.headers.authorization).toBe('Bearer sk-of-the-poet');
    expect(asked.body).toMatchObject({
      model: 'verse',
      messages: [
        { role: 'system', content: 'rhyme' },
        { role: 'user', content: 'a poem' },
      ],
    });
    expect((await post(server, 'a/messages', { content: 'hi', agent: 'nobody' })).body).toMatchObject({
      error: { code: 'unknown-agent' },
    });
    expect(server.log.join('\n')).not.toContain('sk-of-the-poet');
  });

  it('ends an answer that no reader watches, and counts it', async () => {
    const agents = { default: { model: 'demo', unwatchedMs: 1000 } };
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile({ agents }) } });
    expect((await post(server, 'a/messages', { content: 'count 5000 at 10/s' })).status).toBe(202);
    await server.child.line(/"reason":"unwatched"/);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^holdline_unwatched_runs_total 1$/m);
    expect(metrics).toMatch(/^holdline_unwatched_run_seconds_total [1-9]/m);
  });

  it('handles a run whose worker died as its agent says', async () => {
    const agents = {
      goer: { model: 'demo', takeover: 'continue' },
      starter: { model: 'demo', takeover: 'restart' },
      failer: { model: 'demo', takeover: 'fail' },
      once: { model: 'demo', takeover: 'continue', attemptsMax: 1 },
    };
    const server = await startedServer({ env: { HOLDLINE_AGENTS: agentsFile({ agents }) } });
    const names = Object.keys(agents);
    const asked = await Promise.all(
      names.map(async (agent) => ask(server, agent, { content: 'count 200 at 40/s', agent })),
    );
    await Promise.all(asked.map(({ stream, story, runId }) => stream.until(() => story.text(runId).length > 20)));
    await server.kill('SIGKILL');
    for (const { stream } of asked) stream.cut();
    await server.restart();
    const ends = await Promise.all(
      asked.map(async ({ runId, story }, i) => {
        const before = story.text(runId).trimEnd().length;
        await (await follow(server, names[i] ?? '', story)).until(() => story.hasEnded(runId));
        expect(story.violations).toEqual([]);
        const restart = story.steps.find(({ event }) => event === 'run.restarted')?.data;
        const { event, data } = story.run(runId).end ?? {};
        return {
          event,
          error: (data?.['error'] as { code?: string } | undefined)?.code,
          text: story.text(runId),
          keptAll: Number(restart?.['at']) >= before,
          at: restart?.['at'],
        };
      }),
    );
    const [goer, starter, failer, once] = ends;
    expect(goer).toMatchObject({ event: 'run.completed', text: counted(200), keptAll: true });
    expect(starter).toMatchObject({ event: 'run.completed', text: counted(200), at: 0 });
    for (const lost of [failer, once]) {
      expect(lost).toMatchObject({ event: 'run.failed', error: 'worker-lost', keptAll: true });
      expect(counted(200).startsWith(lost?.text ?? '-')).toBe(true);
    }
  });
});
