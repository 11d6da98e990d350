// Signals that end a server: every one of them ends the process, so that a supervisor can start it again.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Child, childEnv } from '../support/child.ts';
import { freePort } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { eventually } from '../support/wait-for.ts';
import { startedServer } from './started-server.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000) });

it.each(['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGABRT', 'SIGTRAP'] as const)(
  'a fault of native code ends the process by its signal: %s',
  async (signal) => {
    const server = await startedServer({ broker: 'memory:' });
    expect(await server.kill(signal)).toEqual({ code: null, signal });
  },
);

it('a command whose output nobody reads ends without a word', async () => {
  const command = `"${process.execPath}" "${MAIN}" token --sub you | true`;
  const env = childEnv({ HOLDLINE_JWT_SECRET: 'a secret of more than thirty-two bytes for tests' });
  const child = new Child('sh', ['-c', command], { env });
  expect(await child.exited).toEqual({ code: 0, signal: null });
  expect(child.stderr).toBe('');
});

it('a server whose terminal is closed ends', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  // `script` gives the command a terminal of its own.
  const terminal = new Child('script', ['-qec', `${process.execPath} ${MAIN} serve`, '/dev/null'], {
    env: childEnv({ HOLDLINE_BROKER: `log:${folder}`, PORT: String(await freePort()) }),
  });
  onTestFinished(() => terminal.kill('SIGKILL').then(() => undefined));
  const [, pid = ''] = await terminal.line(/"pid":(\d+)/);
  await terminal.line(/^open http/);
  await terminal.kill('SIGKILL');
  await eventually(() => !isAlive(Number(pid)));
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
