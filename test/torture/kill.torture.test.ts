// kill -9, fifty times in one history: where the next life goes on from what was said, and where it has to begin the
// answer anew because the model cannot go on.
import { expect, it, onTestFailed, onTestFinished } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { KillStory } from '../process/kill-story.ts';
import { seededRandom } from '../process/seeded-random.ts';

it.each(['continue', 'restart'])(
  'fifty kills lose nothing that was acknowledged, and no answer: %s',
  async (takeover) => {
    const server = await ServerProcess.start({ env: { HOLDLINE_TAKEOVER: takeover } });
    onTestFinished(() => server.close());
    onTestFailed(() => console.error(server.log.slice(-40).join('\n')));
    await new KillStory(server, seededRandom(`kill torture ${takeover}`)).play({ kills: 50, sessions: 6 });
    expect(server.lives).toBeGreaterThan(50);
  },
);
