// A model that emits a word now and then without end: its run ends, and keeps the answer so far.
import { afterEach, describe, expect, it } from 'vitest';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

async function ended(): Promise<void> {
  await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
}

describe('a run that lasts longer than its agent allows', () => {
  it('fails as run-too-long even while its model emits tokens, and the next run starts', async () => {
    rig = new ChatRig({ agent: { runMsMax: 60_000 } });
    rig.startWorker(1);
    const { runId } = await rig.prompt('drip');
    const call = await rig.model.call(0);
    for (let i = 0; i < 6; i += 1) {
      call.say(`drop ${i} `);
      await eventually(async () => JSON.stringify(await rig.seen()).includes(`drop ${i}`));
      expect(call.isAborted).toBe(false);
      await rig.clock.advance(10_000);
    }
    await ended();
    expect(call.isAborted).toBe(true);
    const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(messages.at(-1)).toMatchObject({
      runId,
      status: 'failed',
      error: { code: 'run-too-long', retryable: false },
    });
    expect(messages.at(-1)?.content).toBe('drop 0 drop 1 drop 2 drop 3 drop 4 drop 5 ');
    await rig.prompt('again');
    (await rig.model.call(1)).say('quick').finish();
    await ended();
    expect((await rig.sessions.history(rig.alice, rig.ref, 10, undefined)).messages.at(-1)).toMatchObject({
      status: 'completed',
      content: 'quick',
    });
  });

  it('fails likewise when its model emits nothing', async () => {
    rig = new ChatRig({ agent: { runMsMax: 5_000 } });
    rig.startWorker();
    await rig.prompt('hello?');
    await rig.model.call(0);
    await rig.clock.advance(5_000);
    await ended();
    expect((await rig.sessions.history(rig.alice, rig.ref, 10, undefined)).messages.at(-1)).toMatchObject({
      status: 'failed',
      error: { code: 'run-too-long' },
    });
  });

  it("ends by the user's stop when that came first", async () => {
    rig = new ChatRig({ agent: { runMsMax: 5_000 } });
    rig.startWorker();
    const { runId } = await rig.prompt('drip');
    await rig.model.call(0);
    await rig.runs.cancel(rig.alice, rig.ref, runId);
    await rig.clock.advance(5_000);
    await ended();
    expect((await rig.sessions.history(rig.alice, rig.ref, 10, undefined)).messages.at(-1)).toMatchObject({
      status: 'cancelled',
    });
  });
});
