// The examples that need no browser, as their README says to run them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createChatClient } from '../../src/client/chat-client.ts';
import { Child, childEnv } from '../support/child.ts';
import { owned } from '../support/owned-child.ts';
import { freePort, holdline } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { startedServer } from './started-server.ts';

vi.setConfig({ testTimeout: timeLimit(60_000) });

const example = (path: string): string => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));

/** By SIGTERM, which a script passes on to the processes that it started. */
const ownedScript = (child: Child): Child => owned(child, 'SIGTERM');

describe('examples/curl', () => {
  it('cuts the stream in the middle of the answer, and reads exactly the rest', async () => {
    const server = await startedServer();
    const env = childEnv({ TOKEN: server.token, HOLDLINE_URL: server.url });
    const child = ownedScript(new Child('bash', [example('curl/chat.sh'), 'trip', 'count 60 at 30/s'], { env }));
    expect(await child.exited, child.lines.join('\n')).toMatchObject({ code: 0 });
    const ids = [...child.stdout.matchAll(/^id: (\S+)$/gm)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const deltas = [...child.stdout.matchAll(/^event: delta\ndata: (.+)$/gm)].map(
      ([, data = '']) => JSON.parse(data) as { readonly kind: string; readonly text: string },
    );
    const text = deltas.map((delta) => (delta.kind === 'text' ? delta.text : '')).join('');
    expect(text.match(/\d+/g)?.map(Number)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(child.stdout).toContain('event: run.completed');
  });
});

describe('examples/own-model', () => {
  it('finds the model of any OpenAI-compatible server by one variable, and answers with it', async () => {
    const model = ownedScript(
      new Child(process.execPath, [example('own-model/model-server.js')], { env: childEnv({ PORT: '0' }) }),
    );
    const [, url = ''] = await model.line(/^listening at (.+)$/);
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), 'holdline-example-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const settings = { HOLDLINE_BROKER: `log:${folder}`, HOLDLINE_JWT_SECRET: 'x'.repeat(32) };
    const env = childEnv({ ...settings, HOLDLINE_MODEL_URL: url, PORT: String(port) });
    const child = ownedScript(new Child(process.execPath, [example('own-model/start.js')], { env }));
    await child.line(/asks echo at/);
    await child.line(/^holdline serves /);
    const made = holdline(['token', '--sub', 'you'], { env: childEnv(settings) });
    await made.exited;
    const client = createChatClient({ baseUrl: `http://127.0.0.1:${port}`, token: made.stdout.trim() });
    onTestFinished(() => client.close());
    const chat = client.chat('trip');
    await chat.send('hello there');
    await vi.waitFor(() => expect(chat.snapshot().runs.at(-1)?.state).toBe('completed'), {
      timeout: timeLimit(30_000),
    });
    expect(chat.snapshot().messages.at(-1)?.parts).toMatchObject([{ kind: 'text', text: 'You said: hello there' }]);
  });
});
