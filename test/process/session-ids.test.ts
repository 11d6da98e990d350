// Two users of one tenant with the same session id, on every storage that a server can have: neither takes, detects or
// reads the other's session. A session from the time when ids belonged to the tenant stays with its owner.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { makeToken } from '../../src/cli/token.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { call, type HttpAnswer } from './http-call.ts';
import { startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';

function tokenOf(sub: string): string {
  const auth = { keys: { kind: 'secret', secret: Buffer.from(SECRET) } } as const;
  return makeToken(
    { auth, broker: { engine: 'memory' } },
    { sub, scope: 'chat', tenant: 'default', ttl: '1h' },
    Date.now(),
  );
}

async function brokerOf(engine: string): Promise<{ broker?: string; env?: Record<string, string> }> {
  if (engine === 'log') return {};
  const redis = await RedisServer.start();
  onTestFinished(() => redis.close());
  return { broker: redis.url, env: { HOLDLINE_PROMISE: 'memory' } };
}

const as =
  (server: ServerProcess, user: string) =>
  (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<HttpAnswer> =>
    call({
      method,
      url: `${server.url}/v1/sessions${path}`,
      token: tokenOf(user),
      ...(body === undefined ? {} : { body }),
    });

describe.each(['log', 'redis'])('on the engine %s', (engine) => {
  it('the same id is another session for each user, with its own cursors, and older sessions stay readable', async () => {
    const { broker, env } = await brokerOf(engine);
    const options = {
      ...(broker === undefined ? {} : { broker }),
      env: { ...env, HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_SESSION_IDS: 'tenant' },
    };
    const before = await startedServer(options);
    const old = as(before, 'ann');
    expect((await old('POST', '/old/messages', { content: 'count 3 at 1000/s' })).status).toBe(202);
    expect((await old('PUT', '/old/cursors/c', { position: 'latest' })).status).toBe(204);
    await before.kill('SIGTERM');

    const server = await startedServer({
      ...options,
      folder: before.folder,
      env: { ...env, HOLDLINE_JWT_SECRET: SECRET },
    });
    const [ann, bob] = [as(server, 'ann'), as(server, 'bob')];
    expect((await ann('GET', '/old/messages')).body['messages']).toMatchObject([{ content: 'count 3 at 1000/s' }, {}]);
    expect((await ann('GET', '/old/cursors/c')).status).toBe(200);
    expect((await bob('GET', '/old')).status).toBe(404);
    for (const user of [bob, ann]) {
      expect((await user('POST', '', { sessionId: 'home' })).status).toBe(201);
      expect((await user('PUT', '/home/cursors/c', { position: 'latest' })).status).toBe(204);
    }
    expect((await ann('DELETE', '/home')).status).toBe(204);
    expect((await ann('POST', '', { sessionId: 'home' })).status).toBe(201);
    expect((await ann('GET', '/home/cursors/c')).status).toBe(404);
    expect((await bob('GET', '/home/cursors/c')).status).toBe(200);
    expect((await ann('DELETE', '/old')).status).toBe(204);
    expect([(await ann('GET', '/old')).status, (await ann('GET', '/old/cursors/c')).status]).toEqual([404, 404]);
  });
});
