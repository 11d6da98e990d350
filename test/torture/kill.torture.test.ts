// kill -9, fifty times in one history.
import { expect, it, onTestFailed, onTestFinished } from 'vitest';
import { ServerProcess } from '../helpers/server-process.ts';
import { KillStory } from '../process/kill-story.ts';
import { seededRandom } from '../process/seeded-random.ts';

it('fifty kills lose nothing that was acknowledged, and no answer', async () => {
  const server = await ServerProcess.start();
  onTestFinished(() => server.close());
  onTestFailed(() => console.error(server.log.slice(-40).join('\n')));
  await new KillStory(server, seededRandom('kill torture')).play({ kills: 50, sessions: 6 });
  expect(server.lives).toBeGreaterThan(50);
});
