// The start of a node on Redis: what the server must promise, what the operator reads about it, and that no password is
// shown.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { freePort } from '../support/server-process.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { RedisServer, type RedisOptions } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { run, type CommandRun } from './command-run.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const EXIT_TRY_LATER = 75;
const EXIT_CONFIGURATION = 78;

async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const redis = await RedisServer.start(options);
  onTestFinished(() => redis.close());
  return redis;
}

async function verify(broker: string, promise?: string): Promise<CommandRun> {
  return run(['topics', 'verify'], {
    HOLDLINE_BROKER: broker,
    ...(promise === undefined ? {} : { HOLDLINE_PROMISE: promise }),
  });
}

describe('topics verify', () => {
  it('reports the promise when the server keeps it, and names the settings when it does not', async () => {
    const [always, everysec, memory, evicting] = await Promise.all([
      startRedis({ appendfsync: 'always' }),
      startRedis({ appendfsync: 'everysec' }),
      startRedis(),
      startRedis({ appendfsync: 'always', maxmemory: '100mb', policy: 'allkeys-lru' }),
    ]);
    expect(await verify(always.url)).toEqual({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(
        /^broker\tredis:\/\/127\.0\.0\.1:\d+\nstate\tready\npromise\t.*always.*power cut.*\nchecked\tthe state and the promise of the server;.*\n$/,
      ) as string,
    });
    expect(await verify(everysec.url, 'everysec')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/promise\t.*everysec/) as string,
    });
    expect(await verify(memory.url, 'memory')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/promise\t.*memory/) as string,
    });
    const refusals: readonly [CommandRun, RegExp][] = [
      [await verify(everysec.url), /appendfsync is everysec: set it to always/],
      [await verify(memory.url), /set appendonly to yes/],
      [await verify(evicting.url), /set maxmemory-policy to noeviction/],
      [await verify(always.url, 'replicated:1'), /0 replicas are connected/],
    ];
    for (const [{ code, stdout, stderr }, why] of refusals) {
      expect({ code, stdout }).toEqual({ code: EXIT_CONFIGURATION, stdout: '' });
      expect(stderr).toMatch(why);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
  });

  it('counts the connected replicas', async () => {
    const master = await startRedis({ appendfsync: 'always' });
    const replica = await startRedis({ replicaOf: master });
    expect(await verify(master.url, 'replicated:1')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/promise\t.*1 replica/) as string,
    });
    expect(await verify(replica.url, 'memory')).toMatchObject({
      code: EXIT_CONFIGURATION,
      stderr: expect.stringContaining('name its master') as string,
    });
  });

  it('accepts only a cluster as a cluster', async () => {
    const cluster = await RedisCluster.start(3, { appendfsync: 'always' });
    onTestFinished(() => cluster.close());
    const [one = ''] = cluster.urls;
    const seeds = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    expect(await verify(`redis-cluster://${seeds}`)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/promise\t.*always/) as string,
    });
    expect(await verify(one)).toMatchObject({
      code: EXIT_CONFIGURATION,
      stderr: expect.stringContaining('redis-cluster://') as string,
    });
  });
});

describe('a start', () => {
  it('without its Redis ends soon, so that it is tried again, and shows no password', async () => {
    const port = await freePort();
    const { code, stdout, stderr } = await run(['worker'], {
      HOLDLINE_BROKER: `redis://holdline:canary-password@127.0.0.1:${port}`,
    });
    expect({ code, stdout }).toEqual({ code: EXIT_TRY_LATER, stdout: '' });
    expect(stderr).toMatch(/^holdline: unavailable: .*ECONNREFUSED/);
    expect(stderr).not.toContain('canary-password');
  });

  it('with a wrong password is refused, and does not show the password', async () => {
    const redis = await startRedis({ appendfsync: 'always', more: { requirepass: 'the-right-canary' } });
    const wrong = await run(['worker'], { HOLDLINE_BROKER: redis.url.replace('//', '//:the-wrong-canary@') });
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toMatch(/WRONGPASS|invalid-config|unavailable/);
    expect(wrong.stderr).not.toContain('canary');
    const right = await verify(redis.url.replace('//', '//:the-right-canary@'));
    expect(right).toMatchObject({ code: 0, stderr: '' });
    expect(right.stdout).not.toContain('canary');
  });
});
