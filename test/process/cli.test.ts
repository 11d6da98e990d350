// The commands as an operator types them, each in a process of its own: their help, tokens, and the view of topics,
// both of a running server and of a stopped server's folder.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { makeToken, type TokenChoices } from '../../src/cli/token.ts';
import { ownRef } from '../../src/session/session-ref.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { holdline } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { call } from './http-call.ts';
import { run, refusal } from './command-run.ts';
import { JoinedStory } from './joined-story.ts';
import { decodeJwt } from './jwt.ts';
import { follow, post, prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

describe('help', () => {
  it('exists for every command', async () => {
    const wanted: [string[], string[]][] = [
      [[], ['serve', 'worker', 'token', 'topics', 'pause', 'resume', 'pauses']],
      [['serve'], ['one process']],
      [['worker'], ['shared broker']],
      [['token'], ['--sub', '--scope', '--tenant', '--ttl', '--sessions', '--priority']],
      [['topics'], ['verify', 'damaged', 'ls', 'show', 'tail', 'rm']],
      [['topics', 'ls'], ['[pattern]']],
      [['topics', 'show'], ['<topic>']],
      [
        ['topics', 'tail'],
        ['--after', '--follow'],
      ],
      [['topics', 'rm'], ['<topic>']],
    ];
    const runs = await Promise.all(wanted.map(([command]) => run([...command, '--help'])));
    for (const [i, { code, stdout, stderr }] of runs.entries()) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const word of wanted[i]?.[1] ?? []) expect(stdout).toContain(word);
    }
  });

  it('includes the version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('is named in the refusal of an unknown command', async () => {
    expect(await run(['sevre'])).toEqual({
      code: 64,
      stdout: '',
      stderr: "error: unknown command 'sevre'\n(see holdline --help)\n",
    });
    expect((await run(['serve', 'now'])).stderr).toContain("too many arguments for 'serve'");
  });

  it('is named in the refusal of a mistyped command', async () => {
    const { code, stdout, stderr } = await run(['token', '--sub']);
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('(see holdline --help)');
  });
});

describe('holdline token', () => {
  it('prints a token with everything that was given, and a server accepts it', async () => {
    const env = { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_JWT_ISSUER: 'us', HOLDLINE_JWT_AUDIENCE: 'them' };
    const flags = [
      '--sub',
      'ann',
      '--scope',
      'chat admin',
      '--tenant',
      'acme',
      '--ttl',
      '15m',
      '--priority',
      'low',
      '--sessions',
      'one',
      'two',
    ];
    const [server, { code, stdout }] = await Promise.all([startedServer({ env }), run(['token', ...flags], env)]);
    expect(code).toBe(0);
    const token = stdout.trim();
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({
      sub: 'ann',
      scope: 'chat admin',
      tenant: 'acme',
      priority: 'low',
      sessions: ['one', 'two'],
      iss: 'us',
      aud: 'them',
    });
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(15 * 60);
    expect((await post(server, 'one/messages', { content: 'count 1' }, token)).status).toBe(202);
    // The token is not valid for other sessions.
    expect((await post(server, 'three/messages', { content: 'count 1' }, token)).status).toBe(404);
    expect((await post(server, 'one/messages', { content: 'count 1', priority: 'high' }, token)).status).toBe(403);
  });

  const choices: TokenChoices = { sub: 'ann', scope: 'chat', tenant: 'default', ttl: '1h' };
  const config = {
    auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } },
    broker: { engine: 'memory' },
  } as const;
  it.each<[string, Partial<TokenChoices>, RegExp]>([
    ['no user', { sub: '' }, /--sub/],
    ['an endless user', { sub: 'x'.repeat(257) }, /--sub/],
    ['a scope that there is none', { scope: 'chat root' }, /--scope.*"root"/],
    ['no scope', { scope: '' }, /--scope/],
    ['a tenant that is no name', { tenant: 'a b' }, /--tenant/],
    ['a time without a unit', { ttl: '90' }, /--ttl/],
    ['no time', { ttl: '0s' }, /--ttl/],
    ['an endless time', { ttl: '367d' }, /--ttl/],
    ['a priority that there is none', { priority: 'urgent' }, /priority/],
    ['a session that is no id', { sessions: ['a/b'] }, /session/],
  ])('refuses %s', (_what, wrong, message) => {
    expect(() => makeToken(config, { ...choices, ...wrong }, 1e12)).toThrow(message);
    expect(() => makeToken(config, choices, 1e12)).not.toThrow();
  });

  it.each<[string, Record<string, string>]>([
    ['a model server without a model', { HOLDLINE_MODEL_URL: 'http://models/v1' }],
    ['a port that there is none', { PORT: 'x' }],
    ['a setting that is misspelled', { HOLDLINE_MODLE: 'm' }],
  ])('makes a token although the server has %s', async (_what, wrong) => {
    const env = { HOLDLINE_JWT_SECRET: SECRET, ...wrong };
    const [token, served] = await Promise.all([run(['token', '--sub', 'ann'], env), run(['serve'], env)]);
    expect(token.code, token.stderr).toBe(0);
    expect(decodeJwt(token.stdout.trim())).toMatchObject({ sub: 'ann' });
    expect(served).toMatchObject({ code: 64, stdout: '' });
    expect(served.stderr).toContain(Object.keys(wrong)[0]);
  });

  it('refuses to make a token with a key setting that is misspelled', async () => {
    const { code, stderr } = await run(['token', '--sub', 'ann'], { HOLDLINE_JWT_SECRT: SECRET });
    expect(code).toBe(64);
    expect(stderr).toContain('do you mean HOLDLINE_JWT_SECRET?');
  });

  it('says why it cannot make a token', async () => {
    const [ofMemory, wrong] = await Promise.all([
      run(['token', '--sub', 'x']),
      run(['token', '--sub', 'x', '--ttl', 'soon'], { HOLDLINE_JWT_SECRET: SECRET }),
    ]);
    expect(ofMemory).toEqual(
      refusal('a server without a data folder makes a new key at every start: set HOLDLINE_JWT_SECRET'),
    );
    const folder = mkdtempSync(join(tmpdir(), 'holdline-token-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const data = join(folder, 'data');
    const beforeAnyStart = await run(['token', '--sub', 'x'], { HOLDLINE_BROKER: `log:${data}` });
    expect(beforeAnyStart).toEqual(
      refusal(
        `there is no key in ${data}: no server has started on this folder yet. Start the server first, or run this command with the HOLDLINE_BROKER or the key of your server`,
      ),
    );
    expect(existsSync(data)).toBe(false);
    expect(wrong).toEqual(refusal('--ttl must be like 90s, 15m, 1h or 30d, at most 366d'));
  });
});

/** The topic of a chat of the user in the server's link. */
const seenTopic = chatTopic(ownRef({ tenant: 'default', user: 'you' }, 'seen'));
const keptTopic = chatTopic(ownRef({ tenant: 'default', user: 'you' }, 'kept'));

/** `…/tail` prints a position and its record. */
const TAIL_LINE = /^[a-z0-9]+\.\d+(…\d+)?\t\S/;

function flipBit(path: string, text: string): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(text);
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('holdline topics', () => {
  it('shows the topics of a running server, follows one, and removes one while it is read', async () => {
    const server = await startedServer();
    const env = { HOLDLINE_BROKER: `log:${server.folder}` };
    const runId = await prompt(server, 'seen', 'count 3 at 1000/s');
    const story = new JoinedStory();
    const stream = await follow(server, 'seen', story);
    await stream.until(() => story.hasEnded(runId));
    const following = holdline(['topics', 'tail', '-f', seenTopic], { env: { ...server.env, ...env } });
    await following.line(/run\.completed/);

    const [verify, ls, show, tail, unknown, invalid] = await Promise.all([
      run(['topics', 'verify'], env),
      run(['topics', 'ls'], env),
      run(['topics', 'show', seenTopic], env),
      run(['topics', 'tail', seenTopic], env),
      run(['topics', 'show', 'chat/nobody'], env),
      run(['topics', 'tail', seenTopic, '--after', 'somewhere'], env),
    ]);
    const head = Number(story.position?.split('.')[1]) + 1;
    expect(verify).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^broker\tlog:\S+\nstate\tready\npromise\t\S.*\nchecked\t\d+ topics\t\d+ records\t\d+ B\ndamage\tnone\n$/,
      ) as string,
    });
    expect(ls).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`^${seenTopic}\\t[a-z0-9]+\\.${head}\\t\\d+ B\\texpires 20`)) as string,
    });
    expect(JSON.parse(show.stdout)).toMatchObject({ topic: seenTopic, earliest: 0, next: head });
    expect(
      tail.stdout
        .trim()
        .split('\n')
        .every((line) => TAIL_LINE.test(line)),
    ).toBe(true);
    expect(tail.stdout).toContain('"text":"1 2 3 "');
    expect(unknown).toEqual(refusal('there is no topic chat/nobody'));
    expect(invalid).toEqual(refusal('not a position: somewhere'));

    // The follower receives new records, and Ctrl-C ends it with success.
    await prompt(server, 'seen', 'count 4 at 1000/s');
    await following.line(/count 4 at 1000/);
    expect(await following.kill('SIGINT')).toEqual({ code: 0, signal: null });

    expect(await run(['topics', 'rm', seenTopic], env)).toEqual({
      code: 0,
      stdout: `removed ${seenTopic}\n`,
      stderr: '',
    });
    expect(await stream.until(({ event }) => event === 'reset')).toMatchObject({ data: { reason: 'removed' } });
    expect(await stream.ended).toBe('ended');
    expect(await run(['topics', 'rm', seenTopic], env)).toEqual(refusal(`there is no topic ${seenTopic}`));
    expect((await call({ method: 'GET', url: `${server.url}/v1/sessions/seen`, token: server.token })).status).toBe(
      404,
    );
  });

  it('shows the same for the folder of a stopped server, with a path of any length', async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'holdline-test-'));
    onTestFinished(() => rm(temporary, { recursive: true, force: true }));
    const folder = join(temporary, 'long/'.repeat(30), 'data');
    const server = await startedServer({ folder });
    const env = { HOLDLINE_BROKER: `log:${folder}` };
    await prompt(server, 'kept', 'count 1 at 1000/s');
    const whileRunning = await run(['topics', 'ls'], env);
    expect(whileRunning.stdout).toContain(`${keptTopic}\t`);
    expect(await run(['pauses'], env)).toEqual({ code: 0, stdout: '', stderr: 'holdline: nothing is paused\n' });
    expect((await run(['pause', '--topic', keptTopic], env)).stdout).toBe(`topic ${keptTopic} is paused\n`);
    expect(await run(['pause', '--agent', 'defualt'], env)).toEqual({
      code: 0,
      stdout: 'agent defualt is paused\n',
      stderr: 'holdline: this server has no agent defualt: its agents are default\n',
    });
    expect((await run(['resume', '--agent', 'defualt'], env)).stderr).toBe('');
    expect((await run(['resume', '--agent', 'defualt'], env)).stderr).toContain('this server has no agent defualt');
    expect((await run(['pause', '--agent', 'default'], env)).stderr).toBe('');
    await server.kill('SIGKILL');
    expect((await run(['pauses'], env)).stdout).toContain(`topic\t${keptTopic}\tsince 2`);
    expect((await run(['resume', '--topic', keptTopic], env)).stdout).toBe(`topic ${keptTopic} is not paused\n`);
    expect(await run(['pause', '--topic', 'chat/nobody'], env)).toEqual(
      refusal('there is no topic chat/nobody: holdline topics ls prints the names of all chats'),
    );
    expect(await run(['resume'], env)).toEqual(refusal('name one of --agent, --tenant and --topic'));

    const ls = await run(['topics', 'ls', 'chat/*'], env);
    expect(ls).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining(`${keptTopic}\t`) as string });
    expect((await run(['topics', 'tail', keptTopic], env)).stdout).toContain('message.created');
    expect(await run(['topics', 'rm', keptTopic], env)).toEqual({
      code: 0,
      stdout: `removed ${keptTopic}\n`,
      stderr: '',
    });
    expect((await run(['topics', 'ls', 'chat/*'], env)).stdout).toBe('');
  });

  it('names the damaged topics of a running server and of a stopped one, without text', async () => {
    const server = await startedServer();
    const env = { HOLDLINE_BROKER: `log:${server.folder}` };
    for (const id of ['kept', 'seen']) {
      const runId = await prompt(server, id, `count ${id.length} at 1000/s, ${id}`);
      const story = new JoinedStory();
      const stream = await follow(server, id, story);
      await stream.until(() => story.hasEnded(runId));
    }
    expect(await run(['topics', 'damaged'], env)).toEqual({
      code: 0,
      stdout: '',
      stderr:
        'holdline: no read since the start of the server has found damage; holdline topics verify reads everything\n',
    });
    flipBit(join(server.folder, 'log', '0000000000000001.seg'), 'count 4 at 1000/s, kept');

    // The frame holds the prompt and the request of its run.
    const place = 'segment 1 at byte \\d+\ta frame does not match its checksum';
    const lines = `damaged\t${keptTopic}\toffsets 0 to 1\t${place}\ndamaged\trequest/\\S+:kept\toffset 0\t${place}\n`;
    const counts = 'checked\t\\d+ topics\t\\d+ records\t\\d+ B\ndamage\t2 of the topics\n';
    for (const isRunning of [true, false]) {
      if (!isRunning) await server.kill('SIGTERM');
      const verify = await run(['topics', 'verify'], env);
      expect(verify).toMatchObject({ code: 1, stderr: '' });
      expect(verify.stdout).toMatch(new RegExp(`\npromise\t.*\n${lines}${counts}$`));
      expect(verify.stdout).not.toContain('count');
      const damaged = await run(['topics', 'damaged'], env);
      expect(damaged).toMatchObject({ code: 0, stderr: '' });
      expect(damaged.stdout).toMatch(new RegExp(`^${lines}$`));
    }
    for (const [, topic = ''] of (await run(['topics', 'damaged'], env)).stdout.matchAll(/^damaged\t(\S+)/gm))
      expect((await run(['topics', 'rm', topic], env)).code).toBe(0);
    expect((await run(['topics', 'verify'], env)).code).toBe(0);
  });

  it('does not turn a folder without a log into a log', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    expect(await run(['topics', 'ls'], { HOLDLINE_BROKER: `log:${folder}` })).toEqual(
      refusal(`${folder} is no data folder of holdline: there is no log in it`),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('reports that there is no folder', async () => {
    expect(await run(['topics', 'ls'], { HOLDLINE_BROKER: 'log:/nowhere/at/all' })).toEqual(
      refusal('there is no data folder at /nowhere/at/all'),
    );
    expect(await run(['topics', 'ls'])).toEqual(
      refusal('topics in memory live and die with their server: there is nothing to look at from here'),
    );
  });
});
