// The cost of a reconnect for the storage. When a cluster loses a node, all its readers reconnect at the same time.
import { expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { countingBroker } from '../support/counting-broker.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

it.each(['earliest', 'latest', 'e1.0'])(
  'Subscription describes the topic once when a reader reconnects after %s',
  async (after) => {
    const clock = new ManualClock();
    const inner = new MemoryBroker({ clock, newEpoch: () => 'e1' });
    onTestFinished(() => inner.close());
    const { broker, counts } = countingBroker(inner);
    const commandLog = new CommandLog(broker, () => 0.5);
    const h = await startHarness({ broker: inner, clock, deps: { broker, commandLog } });
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const before = counts.describes;
    const stream = await SseClient.open(port, `/v1/sessions/s/events?after=${after}`, {
      authorization: h.bearer('ann'),
    });
    await stream.live();
    expect(counts.describes - before).toBe(1);
  },
);
