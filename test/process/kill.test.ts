// kill -9, the short form, on a real disk; `npm run torture` has the long one.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { diskFolder } from '../setup/temporary-folder.ts';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { KillStory } from './kill-story.ts';
import { seededRandom } from './seeded-random.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

it('six kills › lose no acknowledged message and no answer', async () => {
  const folder = await mkdtemp(join(diskFolder(), 'holdline-test-'));
  const server = await ServerProcess.start({ folder });
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  onTestFailed(() => console.error(server.log.slice(-40).join('\n')));
  await new KillStory(server, seededRandom('kill')).play({ kills: 6, sessions: 3 });
  expect(server.lives).toBeGreaterThan(6);
});
