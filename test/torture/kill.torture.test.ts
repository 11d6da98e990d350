// Fifty times kill -9 in one history, on a model that continues from a prefix and on one that cannot: there the next
// attempt restarts the answer.
import { expect, it, onTestFailed, onTestFinished } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { KillStory } from '../process/kill-story.ts';
import { seededRandom } from '../process/seeded-random.ts';

it.each(['continue', 'restart'])(
  'fifty kills lose no acknowledged message and no answer (takeover: %s)',
  async (takeover) => {
    const server = await ServerProcess.start({ env: { HOLDLINE_TAKEOVER: takeover } });
    onTestFinished(() => server.close());
    onTestFailed(() => console.error(server.log.slice(-40).join('\n')));
    await new KillStory(server, seededRandom(`kill torture ${takeover}`)).play({ kills: 50, sessions: 6 });
    expect(server.lives).toBeGreaterThan(50);
  },
);
