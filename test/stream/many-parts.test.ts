// An answer with many tool calls, read after its end: it leaves one hole for each call, and a reader reads the answer
// once for all holes.
import { expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { ChatRig, joinAnswer } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { countingBroker } from '../support/counting-broker.ts';
import { ManualClock } from '../support/manual-clock.ts';

const CALLS = 60;

it('Subscription reads the answer once when the answer has many parts', async () => {
  const clock = new ManualClock();
  const { broker, counts } = countingBroker(new MemoryBroker({ clock, newEpoch: () => 'e1' }));
  const rig = new ChatRig({ broker, clock });
  onTestFinished(() => rig.close());
  rig.startWorker();
  const { runId } = await rig.prompt('call your tools');
  const call = await rig.model.call(0);
  for (let index = 0; index < CALLS; index += 1)
    call.say({ type: 'tool-call', index, id: `c${index}`, name: 'look', argumentsText: '{}' });
  call.say('done').finish();
  await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
  const before = counts.reads;
  expect(joinAnswer(await rig.seen(), runId)).toContain('done');
  expect(counts.reads - before).toBeLessThan(CALLS / 4);
});
