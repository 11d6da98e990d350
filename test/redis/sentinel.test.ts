// Behind sentinels: the node finds the master, and after a fail-over the new one, without being told anything else.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { CHAT, CollectedTail, append, major, minor, outcome, readLines } from '../contract/subject.ts';
import { Child } from '../helpers/child.ts';
import { eventually } from '../helpers/collector.ts';
import { RedisServer } from '../helpers/redis-server.ts';
import { freePort } from '../helpers/server-process.ts';
import { RedisStore } from './redis-store.ts';

const TEST_MS_MAX = 60_000;

/** One sentinel, which is enough to say who is master. Gives its URL. */
async function sentinelOf(master: RedisServer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-sentinel-'));
  const port = await freePort();
  const config = join(folder, 'sentinel.conf');
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, `sentinel monitor chats 127.0.0.1 ${master.port} 1`, 'sentinel down-after-milliseconds chats 1000'];
  await writeFile(config, `${lines.join('\n')}\n`);
  const child = new Child('redis-server', [config, '--sentinel']);
  onTestFinished(async () => {
    await child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  await child.line(/\+monitor master chats/);
  return `redis://127.0.0.1:${port}`;
}

test('a fail-over is followed, and told by another epoch', { timeout: TEST_MS_MAX }, async () => {
  const master = await RedisServer.start();
  onTestFinished(() => master.close());
  const replica = await RedisServer.start({ replicaOf: master });
  onTestFinished(() => replica.close());
  const url = await sentinelOf(master);
  const store = new RedisStore(master);
  const broker = await store.open({ nodes: [], sentinel: { name: 'chats', urls: [url] } });
  const { epoch } = await append(broker, CHAT, major('before'));
  const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  // The replica has it: what is lost here would be lost by right.
  const raw = store.raw();
  await raw.ping();
  expect(await raw.wait(1, 10_000)).toBe(1);
  raw.disconnect();
  await master.kill();
  await eventually(async () => (await outcome(append(broker, CHAT, minor('after')))) === 'accepted');
  expect(await readLines(broker, CHAT)).toEqual(['0M:before', '1m:after']);
  expect(await tail.verdict()).toMatchObject({ kind: 'reset', reason: 'epoch-changed' });
  expect(await outcome(append(broker, CHAT, minor('x'), { expect: { epoch } }))).toBe('epoch-changed');
});
