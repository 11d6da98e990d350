// A list of topics is the same however few names a slice examines, and a page of it examines a bounded number of names.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { parseTopicPattern, type LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { append, minor, topicName } from '../contract/subject.ts';
import { openLog } from './opened-log.ts';

interface Pages {
  readonly names: readonly string[];
  readonly sizes: readonly number[];
}

async function pagesOf(broker: BrokerEngine, pattern: string, limit: number): Promise<Pages> {
  const names: string[] = [];
  const sizes: number[] = [];
  for (let after: LiteTopicName | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
    const page = await broker.list(parseTopicPattern(pattern), { limit, ...(after === undefined ? {} : { after }) });
    names.push(...page.topics.map(({ topic }) => topic));
    sizes.push(page.topics.length);
    after = page.after;
  }
  return { names, sizes };
}

test('a list of topics in the index and in memory is whole and in order, in slices of any size', async () => {
  const NAMES = ['a/x', 'b/x', 'b/y', 'c/x', 'c/y', 'd/x', 'e/z', 'f/x'];
  const topics = fc.array(fc.constantFrom(...NAMES), { maxLength: 12 });
  const sizes = fc.record({
    sliceItems: fc.integer({ min: 1, max: 4 }),
    listedInPage: fc.integer({ min: 1, max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(
      topics,
      topics,
      topics,
      sizes,
      fc.integer({ min: 1, max: 4 }),
      async (indexed, removed, added, limits, limit) => {
        const { broker, reopen } = await openLog({ limits });
        for (const name of indexed) await append(broker, topicName(name), minor('x'));
        const again = await reopen();
        for (const name of removed) await again.remove(topicName(name));
        for (const name of added) await append(again, topicName(name), minor('x'));
        const held = new Set([...indexed.filter((name) => !removed.includes(name)), ...added]);
        expect((await pagesOf(again, '*/*', limit)).names).toEqual([...held].sort());
        expect((await pagesOf(again, '*/x', limit)).names).toEqual(
          [...held].filter((name) => name.endsWith('/x')).sort(),
        );
        await again.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('a page of a list with a wildcard in front ends after a number of names, also if none of them matched', async () => {
  const { broker, reopen } = await openLog({ limits: { sliceItems: 2, listedInPage: 4 } });
  for (let i = 0; i < 10; i += 1) await append(broker, topicName(`chat/t${i}`), minor('x'));
  await append(broker, topicName('chat/wanted'), minor('x'));
  const again = await reopen();
  expect(await pagesOf(again, '*/wanted', 100)).toEqual({ names: ['chat/wanted'], sizes: [0, 0, 1] });
  expect((await pagesOf(again, 'chat/*', 3)).sizes).toEqual([3, 3, 3, 2]);
});

test('a group finds every topic that waits for it, in slices', async () => {
  const { broker, reopen } = await openLog({ limits: { sliceItems: 2 } });
  const waiting = Array.from({ length: 9 }, (_, i) => `request/t${i}`);
  for (const name of waiting) await append(broker, topicName(name), minor('x'));
  const again = await reopen();
  const stop = new AbortController();
  const found: string[] = [];
  const options = { credit: 1, visibilityMs: 60_000, signal: stop.signal };
  for await (const delivery of again.consume('workers', parseTopicPattern('request/*'), options)) {
    found.push(delivery.topic);
    await delivery.ack();
    if (found.length === waiting.length) stop.abort();
  }
  expect(found.sort()).toEqual(waiting);
});
