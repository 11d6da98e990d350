// The package from its tarball, in an empty folder: the server by npx, the client in a Vite and React page in a real
// browser, the worker in a plain Node script, and the types of both.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openBrowser } from '../browser/chat-page.ts';
import { owned } from '../support/owned-child.ts';
import { RedisServer } from '../support/redis-server.ts';
import { freePort } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { InstalledPackage } from './installed-package.ts';

vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(240_000) });

const BESIDE = ['react', 'react-dom', '@types/react', '@types/react-dom', '@vitejs/plugin-react', 'vite', 'typescript'];
/** Sends one prompt, prints the answer. */
const CLIENT_SCRIPT = `
  import { createChatClient } from 'holdline/client';
  const client = createChatClient({ baseUrl: process.env.URL, token: process.env.TOKEN });
  const chat = client.chat('from-a-script');
  await chat.send(process.env.PROMPT, { agent: process.env.AGENT });
  const isCompleted = () => chat.snapshot().runs.at(-1)?.state === 'completed';
  while (!isCompleted()) await new Promise((resolve) => chat.subscribe(resolve));
  const answer = chat.snapshot().messages.at(-1);
  console.log('answer: ' + answer.parts.map((part) => part.text).join(''));
  client.close();
`;
const WORKER_SCRIPT = `
  import { createWorker } from 'holdline/worker';
  const shout = async (chat, writer) => void (await writer.text(chat.prompt.toUpperCase() + '!'));
  await createWorker({ broker: process.env.BROKER, agents: { shout } }).start();
  console.log('works');
`;
const TYPED_SCRIPT = `
  import { createChatClient, type ChatSnapshot } from 'holdline/client';
  import { AgentError, createWorker, type AgentHandler } from 'holdline/worker';
  const snapshot: ChatSnapshot = createChatClient({ baseUrl: 'http://x', token: 'x' }).chat('x').snapshot();
  const handler: AgentHandler = async (chat, writer) => void (await writer.text(chat.prompt));
  createWorker({ broker: 'redis://x', agents: { handler } });
  // With --skipLibCheck a type whose declaration is missing or broken becomes \`any\`, and every use of it compiles.
  type IsAny<T> = 0 extends 1 & T ? true : false;
  type Run = Parameters<AgentHandler>;
  export const isAny: readonly [
    IsAny<ChatSnapshot>, IsAny<ChatSnapshot['messages'][number]>, IsAny<ReturnType<typeof createChatClient>>,
    IsAny<AgentHandler>, IsAny<Run[0]>, IsAny<Run[0]['messages'][number]>, IsAny<Run[1]>, IsAny<Run[2]>,
    IsAny<Awaited<ReturnType<Run[0]['ask']>>>, IsAny<Parameters<typeof createWorker>[0]>, IsAny<typeof AgentError>,
  ] = [false, false, false, false, false, false, false, false, false, false, false];
  // @ts-expect-error a snapshot has messages, and they are no number
  export const wrongMessages: number = snapshot.messages;
  // @ts-expect-error a client needs a token
  createChatClient({ baseUrl: 'http://x' });
  // @ts-expect-error a broker is a text
  createWorker({ broker: 1, agents: {} });
  // @ts-expect-error a writer writes text
  export const wrongHandler: AgentHandler = async (chat, writer) => void (await writer.text(chat.attempt));
  // @ts-expect-error an agent error has a code and a message
  new AgentError('code');
`;

let app: InstalledPackage;

beforeAll(async () => {
  app = await InstalledPackage.install(BESIDE);
});

afterAll(async () => {
  await app.close();
});

describe('the package', () => {
  it('has a README, a licence, the protocol and the page in it, and no sources or tests', () => {
    const root = join(app.folder, 'node_modules/holdline');
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'PROTOCOL.md',
      'dist/main.js',
      'dist/web-demo/index.html',
    ])
      expect(existsSync(join(root, name)), name).toBe(true);
    for (const name of ['src', 'test', 'load', 'web-demo', 'dist/.build'])
      expect(existsSync(join(root, name)), name).toBe(false);
  });

  it('tells its version by npx', async () => {
    const { version } = JSON.parse(readFileSync(join(app.folder, 'node_modules/holdline/package.json'), 'utf8')) as {
      version: string;
    };
    const child = app.npx(['--version']);
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(child.stdout.trim()).toBe(version);
  });

  it('starts a server, which answers a plain Node script through holdline/client', async () => {
    const { child, url } = await app.serve();
    owned(child);
    app.write('client.js', CLIENT_SCRIPT);
    const script = owned(
      app.run(['client.js'], { URL: url, TOKEN: await app.token(), PROMPT: 'count 5 at 100/s', AGENT: 'default' }),
    );
    expect((await script.line(/^answer: (.*)$/))[1]).toContain('5');
    expect(await script.exited).toMatchObject({ code: 0 });
  });

  it('serves an agent of a plain Node script through holdline/worker', async () => {
    const redis = await RedisServer.start({ appendfsync: 'always' });
    onTestFinished(() => redis.close());
    const secret = { HOLDLINE_BROKER: redis.url, HOLDLINE_JWT_SECRET: 'x'.repeat(32) };
    const agents = app.write('agents.json', '{ "agents": { "shout": { "handler": "./shout.js", "serve": false } } }');
    const { child, url } = await app.serve({ ...secret, HOLDLINE_ROLE: 'gateway', HOLDLINE_AGENTS: agents });
    owned(child);
    app.write('worker.js', WORKER_SCRIPT);
    await owned(app.run(['worker.js'], { BROKER: redis.url })).line(/^works$/);
    app.write('client.js', CLIENT_SCRIPT);
    const script = owned(
      app.run(['client.js'], { URL: url, TOKEN: await app.token(secret), PROMPT: 'well done', AGENT: 'shout' }),
    );
    expect((await script.line(/^answer: (.*)$/))[1]).toBe('WELL DONE!');
  });

  it('has types that a strict compiler takes without looking at sources', async () => {
    app.write('typed.ts', TYPED_SCRIPT);
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--lib',
      'es2023,dom,dom.iterable,dom.asynciterable',
    ];
    const child = app.run(['node_modules/typescript/bin/tsc', ...flags, '--skipLibCheck', 'typed.ts']);
    expect(await child.exited, child.lines.join('\n')).toMatchObject({ code: 0 });
  });
});

describe('the React example', () => {
  it('shows an answer as it streams, and the same answer after a reload in its middle', async () => {
    const { child, url } = await app.serve();
    owned(child);
    app.copyExample('react-chat');
    const port = await freePort();
    const vite = owned(
      app.run(['node_modules/vite/bin/vite.js', '--port', String(port), '--strictPort'], {
        HOLDLINE_URL: url,
        VITE_HOLDLINE_TOKEN: await app.token(),
        NO_COLOR: '1',
      }),
    );
    await vite.line(/Local:/);
    const browser = await openBrowser();
    onTestFinished(() => browser.close());
    const page = await browser.newPage({ viewport: { width: 800, height: 600 } });
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByLabel('Prompt').fill('count 40 at 20/s');
    await page.getByRole('button', { name: 'Send' }).click();
    const answer = page.getByTestId('assistant');
    await expect.poll(() => answer.textContent(), { timeout: timeLimit(30_000) }).toContain('5');
    await page.reload();
    await expect.poll(() => answer.textContent(), { timeout: timeLimit(30_000) }).toMatch(/40\D*$/);
    expect((await answer.textContent())?.match(/\d+/g)?.map(Number)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    const screenshot = process.env['HOLDLINE_TEST_SCREENSHOT'];
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });
    expect(errors).toEqual([]);
  });
});
