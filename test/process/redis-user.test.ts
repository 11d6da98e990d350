// The Redis user that docs/redis.md describes: a whole cluster of nodes works with it, and it can read neither the
// server's passwords nor keys that are not Holdline's.
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { call } from './http-call.ts';
import { run } from './command-run.ts';
import { prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(90_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

/** Exactly the rules that an operator copies. */
function documentedRules(): string[] {
  const page = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
  const rules = /^ACL (SETUSER holdline [^`]*)```/m.exec(page)?.[1];
  if (rules === undefined) throw new Error('docs/redis.md shows no user');
  return rules.trim().split(/\s+/);
}

it('the documented Redis user › serves a chat with a gateway and a worker, and cannot read foreign keys', async () => {
  const redis = await RedisServer.start({
    appendfsync: 'always',
    more: { requirepass: 'canary-requirepass', masterauth: 'canary-masterauth' },
  });
  onTestFinished(() => redis.close());
  const admin = new Redis(redis.url.replace('//', '//:canary-requirepass@'));
  onTestFinished(() => admin.disconnect());
  expect(await admin.call('ACL', ...documentedRules())).toBe('OK');
  await admin.set('others', 'canary-value');
  const broker = redis.url.replace('//', '//holdline:password@');
  const env = { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_REDIS_APPENDFSYNC: 'always' };
  const start = async (role: string): Promise<ServerProcess> =>
    startedServer({ broker, env: { ...env, HOLDLINE_ROLE: role } });
  const [gateway] = await Promise.all([start('gateway'), start('worker')]);
  const token = makeToken(
    { auth: { keys: { kind: 'secret', secret: Buffer.from(SECRET) } }, broker: { engine: 'memory' } },
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
  await prompt(gateway, 'trip', 'count 50 at 200/s', token);
  const live = await readSse({ url: gateway.url, token, sessionId: 'trip' });
  await live.until(({ event }) => event === 'run.completed');
  expect(await call({ method: 'GET', url: `${gateway.url}/v1/sessions`, token })).toMatchObject({
    status: 200,
    body: { sessions: [{ sessionId: 'trip' }] },
  });
  expect(await call({ method: 'DELETE', url: `${gateway.url}/v1/sessions/trip`, token })).toMatchObject({
    status: 204,
  });
  expect(await live.ended).toBe('ended');
  expect(
    await run(['topics', 'verify'], { HOLDLINE_BROKER: broker, HOLDLINE_REDIS_APPENDFSYNC: 'always' }),
  ).toMatchObject({ code: 0, stdout: expect.stringMatching(/promise\t.*always.*as this node was told/) as string });

  const user = new Redis(broker);
  onTestFinished(() => user.disconnect());
  const forbidden = [
    ['CONFIG', 'GET', 'requirepass'],
    ['CONFIG', 'GET', '*'],
    ['ACL', 'LIST'],
    ['KEYS', '*'],
    ['SCAN', '0'],
    ['RANDOMKEY'],
    ['GET', 'others'],
    ['FLUSHALL'],
    ['MONITOR'],
    ['REPLICAOF', 'NO', 'ONE'],
    ['SHUTDOWN'],
    ['EVAL', 'return redis.call("CONFIG", "GET", "requirepass")', '0'],
    ['SUBSCRIBE', 'others'],
  ] as const;
  for (const [command, ...args] of forbidden)
    await expect(user.call(command, ...args), command).rejects.toThrow(
      /NOPERM|No permissions|no permissions|not allowed/,
    );
});

it('a start › warns of a Redis on another machine without a password and without TLS', async () => {
  // Nothing listens there: the warning comes before the connection.
  const { stdout, stderr } = await run(['worker'], { HOLDLINE_BROKER: 'redis://redis.invalid:6379' });
  expect(stdout + stderr).toMatch(/"servers":\["redis\.invalid:6379"\].*no password and no TLS/);
  const withPassword = await run(['worker'], { HOLDLINE_BROKER: 'redis://:canary@redis.invalid:6379' });
  expect(withPassword.stdout + withPassword.stderr).not.toMatch(/no password|canary/);
});
