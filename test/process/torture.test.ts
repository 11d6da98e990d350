// Every process killed, stopped and let go on at random while two agents answer, the short form on each engine;
// `npm run torture` has the long one. Nothing that was acknowledged is lost, every run ends once, and no socket to the
// model is left.
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { TortureRig, type Engine } from './torture-rig.ts';

// A process takes as long to start as the machine is busy.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(60_000) });

const BLOWS = 8;
/** A kept connection is closed by the model a few seconds after its last answer. */
const SOCKETS_GONE_MS = timeLimit(30_000);

it.each<Engine>(['embedded', 'redis'])('blows at random lose nothing and leave nothing open: %s', async (engine) => {
  const rig = await TortureRig.start(engine);
  onTestFinished(() => rig.close());
  onTestFailed(() => console.error(rig.log));
  await rig.play(async (torture) => torture.until(() => torture.blows >= BLOWS));
  await vi.waitFor(async () => expect(await rig.upstream.openSockets()).toBe(0), { timeout: SOCKETS_GONE_MS });
});
