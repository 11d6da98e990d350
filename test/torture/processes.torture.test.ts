// The long form of test/process/torture.test.ts: hundreds of runs under random faults, on each engine. The seed differs
// each time unless it is given. TORTURE_MINUTES=<per engine> HOLDLINE_TEST_SEED=<seed> npm run torture
import { expect, it, onTestFailed, onTestFinished, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { TortureRig, type Engine } from '../process/torture-rig.ts';

const MINUTES = Number(process.env['TORTURE_MINUTES'] ?? 5);
/** The model server closes an idle keep-alive connection a few seconds after its last answer. */
const SOCKETS_GONE_MS = timeLimit(30_000);

it.each<Engine>(['embedded', 'redis'])(
  `${MINUTES} minutes of faults lose nothing and leave no connection open: %s`,
  async (engine) => {
    const rig = await TortureRig.start(engine);
    onTestFinished(() => rig.close());
    onTestFailed(() => console.error(rig.log));
    const end = Date.now() + MINUTES * 60_000;
    const story = await rig.play(async (torture) => {
      await torture.until(() => Date.now() > end);
      console.info(`${engine}: ${torture.blows} blows`);
    });
    expect(story.takeovers).toBeGreaterThan(0);
    await vi.waitFor(async () => expect(await rig.upstream.openSockets()).toBe(0), { timeout: SOCKETS_GONE_MS });
  },
);
