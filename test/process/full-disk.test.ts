// A full disk: prompts are refused, and commands that free space are accepted: Stop, and the removal of a chat.
import { expect, it, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { call } from './http-call.ts';
import { counted } from './joined-story.ts';
import { mountSmallDisk } from './small-disk.ts';
import { post, prompt, startedServer, wholeStory } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const DISK_MEBIBYTES = 24;
/** Together more than the disk has. */
const BIG_CHATS = 12;
const BIG = `count 1 ${'x'.repeat(400_000)}`;
/** More than the space that may be left in the log's last page. */
const LARGE = 'x'.repeat(8192);

async function statusOf(server: ServerProcess, method: 'GET' | 'DELETE', sessionId: string): Promise<number> {
  return (await call({ method, url: `${server.url}/v1/sessions/${sessionId}`, token: server.token })).status;
}

it('a full disk › accepts Stop and removals, and a crash meanwhile loses nothing', async (context) => {
  const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
  const server = await startedServer({ folder: disk.folder });
  await prompt(server, 'other', 'count 1');
  await prompt(server, 'gone', 'count 1');
  const busy = await prompt(server, 'busy', 'count 5000 at 20/s');
  const waiting = await prompt(server, 'busy', 'count 2');
  const live = await readSse({ url: server.url, token: server.token, sessionId: 'busy' });
  await live.until(({ event }) => event === 'delta');
  await disk.fill();
  expect((await post(server, 'busy/messages', { content: LARGE })).status).toBe(507);
  expect(
    (await call({ method: 'POST', url: `${server.url}/v1/tickets`, token: server.token, body: { sessionId: 'busy' } }))
      .status,
  ).toBe(201);
  for (const runId of [waiting, busy]) {
    expect(await post(server, 'busy/cancel', { runId })).toMatchObject({ status: 202, body: { runId } });
    await live.until(({ event, data }) => event === 'run.cancelled' && data['runId'] === runId);
  }
  live.cut();
  expect(await statusOf(server, 'DELETE', 'other')).toBe(204);
  expect((await post(server, 'busy/messages', { content: LARGE })).status).toBe(507);

  await server.kill('SIGKILL');
  await server.restart();
  const after = await wholeStory(server, 'busy');
  expect(after.steps.filter(({ event }) => event === 'run.cancelled').map(({ data }) => data['runId'])).toEqual([
    waiting,
    busy,
  ]);
  expect(await statusOf(server, 'GET', 'other')).toBe(404);
  expect((await post(server, 'busy/messages', { content: LARGE })).status).toBe(507);
  expect(await statusOf(server, 'DELETE', 'gone')).toBe(204);

  await disk.free();
  // No prompt was sent since.
  const broker = async (): Promise<unknown> =>
    (await call({ method: 'GET', url: `${server.url}/readyz` })).body['broker'];
  await expect.poll(broker, { timeout: timeLimit(10_000) }).toBe('ready');
  const next = await prompt(server, 'busy', 'count 3 at 100/s');
  const later = await readSse({ url: server.url, token: server.token, sessionId: 'busy' });
  await later.until(({ event, data }) => event === 'run.completed' && data['runId'] === next);
  later.cut();
  expect(server.lives).toBe(2);
});

it('a full disk › accepts prompts again after the large chats are removed, without a restart, also with other chats beside them', async (context) => {
  const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
  const server = await startedServer({ folder: disk.folder });
  const kept = await prompt(server, 'kept', 'count 30 at 500/s');
  for (let i = 0; i < BIG_CHATS; i++) await prompt(server, `big${i}`, BIG);
  await expect.poll(async () => (await wholeStory(server, 'kept')).hasEnded(kept)).toBe(true);
  const story = await wholeStory(server, 'kept');
  await disk.fill();
  expect((await post(server, 'kept/messages', { content: LARGE })).status).toBe(507);
  for (let i = 0; i < BIG_CHATS; i++) expect(await statusOf(server, 'DELETE', `big${i}`)).toBe(204);
  await expect
    .poll(async () => (await post(server, 'kept/messages', { content: LARGE })).status, { timeout: timeLimit(20_000) })
    .toBe(202);
  expect(server.lives).toBe(1);
  await server.kill('SIGKILL');
  await server.restart();
  const after = await wholeStory(server, 'kept');
  expect(after.text(kept)).toBe(story.text(kept));
  expect(after.text(kept)).toBe(counted(30));
});
