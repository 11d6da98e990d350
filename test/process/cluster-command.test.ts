// `npm run cluster`, without the build: it starts, survives the death of a node, and leaves nothing behind.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { Child, childEnv } from '../support/child.ts';
import { freePort } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { readSse } from '../support/sse-reader.ts';
import { call } from './http-call.ts';
import { counted, JoinedStory } from './joined-story.ts';
import { into } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const COMMAND = fileURLToPath(new URL('../../deploy/cluster.ts', import.meta.url));

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it('npm run cluster › serves a whole cluster until Ctrl-C, and leaves nothing afterwards', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-cluster-'));
  const cluster = new Child(process.execPath, ['--import', 'tsx', COMMAND], {
    env: childEnv({ PORT: String(await freePort()), HOLDLINE_CLUSTER_FOLDER: folder }),
  });
  onTestFinished(async () => {
    await cluster.kill('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });
  onTestFailed(() => console.error(cluster.lines.join('\n')));
  const [, url = '', token = ''] = await cluster.line(/^open (\S+)\/#token=(\S+)$/);
  const pids = new Map(
    cluster.lines.flatMap((line) =>
      [...line.matchAll(/^([a-z]+(?:-\d)?) +(\d+) /g)].map(([, name = '', pid]): [string, number] => [
        name,
        Number(pid),
      ]),
    ),
  );
  expect([...pids.keys()].sort()).toEqual([
    'gateway-1',
    'gateway-2',
    'gateway-3',
    'nginx',
    'redis',
    'worker-1',
    'worker-2',
  ]);

  process.kill(pids.get('gateway-2') ?? 0, 'SIGKILL');
  await cluster.line(/^gateway-2 \| ended \(SIGKILL\)/);
  const sent = await call({
    method: 'POST',
    url: `${url}/v1/sessions/here/messages`,
    token,
    body: { content: 'count 20 at 1000/s' },
  });
  expect(sent.status).toBe(202);
  const story = new JoinedStory();
  const stream = await readSse({ url, token, sessionId: 'here', cutAfter: into(story) });
  const runId = String(sent.body['runId']);
  await stream.until(() => story.hasEnded(runId));
  expect(story.text(runId)).toBe(counted(20));

  expect(await cluster.kill('SIGINT')).toEqual({ code: 0, signal: null });
  expect([...pids].filter(([, pid]) => isAlive(pid))).toEqual([]);
});
