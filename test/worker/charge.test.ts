// What a worker charges for a run: the model tokens that count in the fair order of its group.
import { afterEach, describe, expect, it } from 'vitest';
import type { Delivery } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { ProviderError } from '../../src/worker/provider.ts';
import { LEASE_MS } from '../../src/worker/worker.ts';
import { CHARS_PER_TOKEN } from '../../src/worker/run/used-tokens.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually } from '../support/wait-for.ts';

/** Notes what is charged. */
class ChargedBroker extends MemoryBroker {
  readonly charged: number[] = [];

  override async *consume(...args: Parameters<MemoryBroker['consume']>): AsyncGenerator<Delivery> {
    for await (const delivery of super.consume(...args)) {
      const charge = delivery.charge.bind(delivery);
      delivery.charge = (tokens) => {
        this.charged.push(tokens);
        charge(tokens);
      };
      yield delivery;
    }
  }
}

let rig: ChatRig;

function start(): ChargedBroker {
  const clock = new ManualClock();
  const broker = new ChargedBroker({ clock, newEpoch: () => 'e' });
  rig = new ChatRig({ broker, clock });
  rig.startWorker();
  return broker;
}

afterEach(async () => {
  await rig.close();
});

describe('a run', () => {
  it('charges what the model server reported', async () => {
    const broker = start();
    await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('a long answer', {
      type: 'usage',
      usage: { inputTokens: 100, outputTokens: 23 },
    });
    call.say({ type: 'finish', reason: 'stop' });
    await eventually(() => broker.charged.length > 0);
    expect(broker.charged).toEqual([123]);
  });

  it('charges an estimate from the characters where nothing was reported', async () => {
    const broker = start();
    await rig.prompt('p'.repeat(1000));
    (await rig.model.call(0)).say('a'.repeat(3000), { type: 'finish', reason: 'stop' });
    await eventually(() => broker.charged.length > 0);
    expect(broker.charged).toEqual([4000 / CHARS_PER_TOKEN]);
  });

  it('counts the calls that the model receives in an estimate', async () => {
    const broker = start();
    const call = { toolCallId: 'c', toolName: 'n'.repeat(40), arguments: `{"a":"${'x'.repeat(352)}"}` };
    const history = [{ role: 'assistant' as const, content: '', toolCalls: [call] }];
    await rig.prompt('', { history, toolResults: [{ toolCallId: 'c', result: 'r'.repeat(400) }] });
    (await rig.model.call(0)).say('a'.repeat(200), { type: 'finish', reason: 'stop' });
    await eventually(() => broker.charged.length > 0);
    expect(broker.charged).toEqual([1000 / CHARS_PER_TOKEN]);
  });

  it('charges what it has used so far with each extension of its lease, and once more at its end', async () => {
    const broker = start();
    await rig.prompt('p'.repeat(1000));
    const call = await rig.model.call(0);
    call.say('a'.repeat(600));
    await eventually(() => rig.clock.timers > 0);
    await rig.clock.advance(LEASE_MS / 3);
    await eventually(() => broker.charged.length === 1);
    expect(broker.charged).toEqual([1600 / CHARS_PER_TOKEN]);
    call.say('a'.repeat(400), { type: 'finish', reason: 'stop' });
    await eventually(() => broker.charged.length === 2);
    expect(broker.charged[1]).toBe(2000 / CHARS_PER_TOKEN);
  });

  it('charges what it used until it failed', async () => {
    const broker = start();
    await rig.prompt('p'.repeat(1000));
    (await rig.model.call(0)).say('a'.repeat(600)).fail(new ProviderError('upstream-truncated', 'cut'));
    await eventually(() => broker.charged.length > 0);
    expect(broker.charged).toEqual([1600 / CHARS_PER_TOKEN]);
  });
});
