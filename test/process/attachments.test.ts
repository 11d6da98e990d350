// Attachments through the whole product: a prompt of 16 MiB to a model server, kill -9 during uploads, and what the
// storage holds after a chat is deleted.
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RedisServer } from '../support/redis-server.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { eventually } from '../support/wait-for.ts';
import { call } from './http-call.ts';
import { post, startedServer, wholeStory } from './started-server.ts';

vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const MIB = 1024 * 1024;
const SECRET = 'this sentence is in the prompt only. ';
/** 16 MiB with characters of three bytes, which chunks cut. */
const PROMPT = (SECRET + '€'.repeat(1000)).repeat(6000).slice(0, 5_760_000);

async function upload(server: ServerProcess, body: Buffer, type: string): Promise<string> {
  const digest = createHash('sha256').update(body).digest('base64');
  const answer = await fetch(`${server.url}/v1/sessions/s/attachments`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.token}`,
      'content-type': type,
      'content-disposition': 'attachment; filename="prompt.txt"',
      'content-digest': `sha-256=:${digest}:`,
    },
    body: new Uint8Array(body),
  });
  const stored = (await answer.json()) as { attachmentId: string };
  expect(answer.status, JSON.stringify(stored)).toBe(201);
  return stored.attachmentId;
}

async function download(server: ServerProcess, id: string): Promise<{ status: number; bytes: Buffer }> {
  const answer = await fetch(`${server.url}/v1/sessions/s/attachments/${id}`, {
    headers: { authorization: `Bearer ${server.token}` },
  });
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const path of await filesOf(folder)) if ((await readFile(path)).includes(text)) found.push(path);
  return found;
}

async function logBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const path of await filesOf(join(folder, 'log')))
    bytes += (await readFile(path)).toString('latin1').replace(/\0/g, '').length;
  return bytes;
}

async function modelServer(): Promise<ScriptedUpstream> {
  const chunk = (delta: unknown, finish: string | null): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const upstream = await ScriptedUpstream.start([
    { steps: [chunk({ content: 'Read.' }, null), chunk({}, 'stop'), 'data: [DONE]\n\n'] },
  ]);
  onTestFinished(() => upstream.close());
  return upstream;
}

describe('a prompt of 16 MiB', () => {
  it.each(['log', 'redis'])(
    'reaches the model whole over %s, is in no record, and is erased with its chat',
    async (engine) => {
      const upstream = await modelServer();
      const redis = engine === 'redis' ? await RedisServer.start() : undefined;
      if (redis !== undefined) onTestFinished(() => redis.close());
      const server = await startedServer({
        ...(redis === undefined ? {} : { broker: redis.url }),
        env: {
          HOLDLINE_MODEL_URL: upstream.baseUrl,
          HOLDLINE_MODEL: 'm',
          ...(redis === undefined ? {} : { HOLDLINE_PROMISE: 'memory', HOLDLINE_JWT_SECRET: 'x'.repeat(40) }),
        },
      });
      const bytes = Buffer.from(PROMPT);
      expect(bytes.length).toBeGreaterThan(16 * MIB);
      const id = await upload(server, bytes, 'text/plain');
      const picture = randomBytes(1_000_000);
      const pictureId = await upload(server, picture, 'image/png');
      const parts = [id, pictureId].map((attachmentId) => ({ type: 'attachment', attachmentId }));
      expect((await post(server, 's/messages', { content: parts })).status).toBe(202);
      await eventually(async () =>
        [...(await wholeStory(server, 's')).runs.values()].some(({ end }) => end?.event === 'run.completed'),
      );
      const [sent] = upstream.requests;
      const [message] = (sent?.body as { messages: { content: { text?: string; image_url?: { url: string } }[] }[] })
        .messages;
      expect(message?.content[0]?.text === `prompt.txt:\n\n${PROMPT}`).toBe(true);
      expect(message?.content[1]?.image_url?.url === `data:image/png;base64,${picture.toString('base64')}`).toBe(true);
      expect((await download(server, id)).bytes.equals(bytes)).toBe(true);
      const history = await call({ method: 'GET', url: `${server.url}/v1/sessions/s/messages`, token: server.token });
      expect(JSON.stringify(history.body).length).toBeLessThan(10_000);
      const remove = () => call({ method: 'DELETE', url: `${server.url}/v1/sessions/s`, token: server.token });
      if (redis === undefined) {
        expect(await logBytes(server.folder)).toBeLessThan(MIB);
        expect((await filesWith(server.folder, SECRET)).every((path) => path.includes('/blobs/'))).toBe(true);
        expect((await remove()).status).toBe(204);
        expect([await filesWith(server.folder, SECRET), await filesOf(join(server.folder, 'blobs'))]).toEqual([[], []]);
        return;
      }
      const raw = new Redis(redis.url);
      onTestFinished(() => raw.disconnect());
      const blobs = async () => (await raw.keys('*')).filter((key) => key.includes(':b:') || key.includes(':bi:'));
      expect((await blobs()).length).toBe(3);
      expect((await remove()).status).toBe(204);
      expect(await blobs()).toEqual([]);
    },
  );
});

describe('kill -9', () => {
  it('at any moment of an upload leaves nothing that can be read, and nothing after the chat is deleted', async () => {
    const server = await startedServer();
    const whole = Buffer.from(SECRET.repeat(40_000));
    const kept = await upload(server, whole, 'text/plain');
    for (const share of [0, 0.2, 0.7, 1]) {
      const request = httpRequest(`${server.url}/v1/sessions/s/attachments`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token}`, 'content-length': whole.length + 1 },
      });
      request.on('error', () => undefined);
      request.flushHeaders();
      const sent = whole.subarray(0, Math.floor(whole.length * share));
      if (sent.length > 0) request.write(sent);
      // A chunk is on the disk once all of it has arrived.
      const chunks = Math.floor(sent.length / (256 * 1024));
      await eventually(async () => (await partBytes(server.folder)) >= chunks * 256 * 1024);
      await server.kill();
      await server.restart();
      request.destroy();
    }
    expect((await download(server, kept)).bytes.equals(whole)).toBe(true);
    const parts = (await filesOf(join(server.folder, 'blobs'))).filter((path) => path.endsWith('.part'));
    expect(parts.length).toBeGreaterThan(0);
    for (const path of parts) {
      const id = path.slice(path.lastIndexOf('/') + 1, -'.part'.length);
      expect((await download(server, id)).status).toBe(404);
      const content = [{ type: 'attachment', attachmentId: id }];
      expect((await post(server, 's/messages', { content })).status).toBe(404);
    }
    await call({ method: 'DELETE', url: `${server.url}/v1/sessions/s`, token: server.token });
    expect([await filesWith(server.folder, SECRET), await filesOf(join(server.folder, 'blobs'))]).toEqual([[], []]);
  });

  it('after an upload is acknowledged loses nothing of it', async () => {
    const server = await startedServer();
    const bytes = randomBytes(3 * MIB);
    const id = await upload(server, bytes, 'application/zip');
    await server.kill();
    await server.restart();
    expect((await download(server, id)).bytes.equals(bytes)).toBe(true);
  });
});

/** The bytes of the newest file that is being written. */
async function partBytes(folder: string): Promise<number> {
  let most = 0;
  for (const path of (await filesOf(join(folder, 'blobs'))).filter((one) => one.endsWith('.part')))
    most = Math.max(most, (await stat(path).catch(() => ({ size: 0 }))).size);
  return most;
}
