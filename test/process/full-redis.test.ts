// A full Redis: prompts are refused, and commands that free space are accepted: Stop, and the removal of a chat.
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import { call } from './http-call.ts';
import { post, prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(90_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

it('a full Redis › accepts Stop and the removal of a chat, and accepts prompts again when there is space', async () => {
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  const server = await startedServer({
    broker: redis.url,
    env: { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_PROMISE: 'memory' },
  });
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  await prompt(server, 'other', 'count 1', token);
  const runId = await prompt(server, 'busy', 'count 5000 at 20/s', token);
  const waiting = await prompt(server, 'busy', 'count 2', token);
  const live = await readSse({ url: server.url, token, sessionId: 'busy' });
  await live.until(({ event }) => event === 'delta');
  await redis.command('CONFIG SET maxmemory 1mb');
  expect((await post(server, 'busy/messages', { content: 'more' }, token)).status).toBe(507);
  for (const stopped of [waiting, runId]) {
    expect(await post(server, 'busy/cancel', { runId: stopped }, token)).toMatchObject({
      status: 202,
      body: { runId: stopped },
    });
    await live.until(({ event, data }) => event === 'run.cancelled' && data['runId'] === stopped);
  }
  expect((await call({ method: 'DELETE', url: `${server.url}/v1/sessions/other`, token })).status).toBe(204);
  expect((await post(server, 'busy/messages', { content: 'more' }, token)).status).toBe(507);
  await redis.command('CONFIG SET maxmemory 0');
  const next = await prompt(server, 'busy', 'count 3 at 100/s', token);
  await live.until(({ event, data }) => event === 'run.completed' && data['runId'] === next);
  live.cut();
});
