// Kills, stops and continues every process at random while two agents answer: the short form on each engine; `npm run
// torture` has the long one. Nothing acknowledged is lost, every run ends once, and no connection to the model stays
// open.
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { TortureRig, type Engine } from './torture-rig.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const BLOWS = 8;
/** The model server closes an idle keep-alive connection a few seconds after its last answer. */
const SOCKETS_GONE_MS = timeLimit(30_000);

it.each<Engine>(['embedded', 'redis'])(
  'random faults › lose nothing and leave no connection open: %s',
  async (engine) => {
    const rig = await TortureRig.start(engine);
    onTestFinished(() => rig.close());
    onTestFailed(() => console.error(rig.log));
    await rig.play(async (torture) => torture.until(() => torture.blows >= BLOWS));
    await vi.waitFor(async () => expect(await rig.upstream.openSockets()).toBe(0), { timeout: SOCKETS_GONE_MS });
  },
);
