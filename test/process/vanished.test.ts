// A chat that vanishes from Redis while it is read: each reader receives a reset, on both wires, for any cause.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import type { ServerProcess } from '../support/server-process.ts';
import type { WireRecord } from '../support/wire-record.ts';
import { readWs } from '../support/ws-reader.ts';
import { call } from './http-call.ts';
import { prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start, and a node checks a silent chat about every 15 s.
vi.setConfig({ testTimeout: timeLimit(90_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const token = makeToken(
  { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
  { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
  Date.now(),
);

async function started(): Promise<{ redis: RedisServer; server: ServerProcess }> {
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  const server = await startedServer({
    broker: redis.url,
    env: { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_PROMISE: 'memory' },
  });
  return { redis, server };
}

/** One live reader on each wire. */
async function readers({ url }: ServerProcess, sessionId: string): Promise<readonly WireRecord[]> {
  const records = await Promise.all([readSse({ url, token, sessionId }), readWs({ url, token, sessionId })]);
  for (const record of records) await record.until(({ event }) => event === 'live');
  return records;
}

const reasons = ({ events }: WireRecord): unknown[] =>
  events.filter(({ event }) => event === 'reset').map(({ data }) => data['reason']);

async function answered(server: ServerProcess, sessionId: string): Promise<void> {
  await prompt(server, sessionId, 'count 3 at 100/s', token);
  const record = await readSse({ url: server.url, token, sessionId, until: 'idle' });
  expect(await record.ended).toBe('ended');
}

async function keyOf(redis: RedisServer, kind: string): Promise<string> {
  const key = (await redis.command(`KEYS *:${kind}:chat/*`)).trim();
  expect(key).toMatch(/^\{holdline:p\d+\}:/);
  return key;
}

describe('a reader of a chat in Redis', () => {
  it('receives a reset after everything was flushed, and sees the chat when it is created again', async () => {
    const { redis, server } = await started();
    for (const sessionId of ['silent', 'resumed']) await answered(server, sessionId);
    const silent = await readers(server, 'silent');
    const resumed = await readers(server, 'resumed');
    await redis.command('SCRIPT FLUSH');
    await redis.command('FLUSHALL');
    await prompt(server, 'resumed', 'count 4 at 100/s', token);
    for (const record of resumed) {
      await record.until(({ event }) => event === 'reset');
      await record.until(({ event, data }) => event === 'message.created' && data['content'] === 'count 4 at 100/s');
      expect(reasons(record)).toEqual(['epoch-changed']);
    }
    for (const record of silent) {
      expect(await record.ended).toMatch(/^ended$|^error not-found$/);
      expect(reasons(record)).toEqual(['removed']);
    }
    expect(await call({ method: 'GET', url: `${server.url}/v1/sessions/silent`, token })).toMatchObject({
      status: 404,
    });
  });

  it('receives a reset after the key of its chat was deleted', async () => {
    const { redis, server } = await started();
    await answered(server, 'deleted');
    const records = await readers(server, 'deleted');
    expect(await redis.command(`DEL ${await keyOf(redis, 't')}`)).toBe('1');
    for (const record of records) {
      expect(await record.ended).toMatch(/^ended$|^error not-found$/);
      expect(reasons(record)).toEqual(['removed']);
    }
  });

  it('receives one reset and the end of the stream after the records of its chat were deleted', async () => {
    const { redis, server } = await started();
    await answered(server, 'damaged');
    expect(await redis.command(`DEL ${await keyOf(redis, 'M')}`)).toBe('1');
    const { url } = server;
    for (const record of [
      await readSse({ url, token, sessionId: 'damaged' }),
      await readWs({ url, token, sessionId: 'damaged' }),
    ]) {
      expect(await record.ended).toMatch(/^ended$|^error internal$/);
      expect(reasons(record)).toEqual(['undeclared-hole']);
    }
  });
});
