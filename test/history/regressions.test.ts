// Bugs that worlds have found, each as small as it can be told.
import { afterEach, describe, expect, it } from 'vitest';
import type { BrokerEngine, ReadResult } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { ChatRig } from '../helpers/chat-rig.ts';
import { eventually } from '../helpers/collector.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { turns } from './turns.ts';

let rig: ChatRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

/** Answers to forward reads are held back until they are let go: a disk that takes its time. */
function slowReads(inner: MemoryBroker): { broker: BrokerEngine; hold: () => void; letGo: () => void; held: () => number } {
  let waiting: (() => void)[] = [];
  let isHolding = false;
  const broker: BrokerEngine = {
    append: (writes) => inner.append(writes),
    read: async (topic, from, options): Promise<ReadResult> => {
      const result = await inner.read(topic, from, options);
      if (isHolding && options?.direction !== 'backward') await new Promise<void>((resolve) => waiting.push(resolve));
      return result;
    },
    tail: (...args) => inner.tail(...args),
    describe: (topics) => inner.describe(topics),
    remove: (topic) => inner.remove(topic),
    list: (...args) => inner.list(...args),
    consume: (...args) => inner.consume(...args),
    health: () => inner.health(),
    close: () => inner.close(),
  };
  return {
    broker,
    hold: () => (isHolding = true),
    letGo: () => {
      isHolding = false;
      for (const goOn of waiting) goOn();
      waiting = [];
    },
    held: () => waiting.length,
  };
}

describe('a reader that is catching up while its chat is removed', () => {
  it('is told so, even if it had read everything before', async () => {
    const clock = new ManualClock();
    const { broker, hold, letGo, held } = slowReads(new MemoryBroker({ clock, newEpoch: () => 'e1' }));
    const chat = new ChatRig({ broker, clock });
    rig = chat;
    await chat.prompt('hello');
    hold();
    const viewer = chat.view();
    await eventually(() => held() > 0);
    await chat.sessions.remove(chat.alice, chat.ref);
    await eventually(() => chat.hub.feedCount === 0);
    letGo();
    await turns(20);
    expect(viewer.sink.controls.at(-1)).toMatchObject({ type: 'reset', reason: 'removed' });
    expect(viewer.sink.ended).toBe('removed');
  });
});
