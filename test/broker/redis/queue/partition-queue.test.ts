// When a node drains a partition of a group's queue, from replies and messages that may arrive in any order.
import { expect, test } from 'vitest';
import { parseTopicPattern } from '../../../../src/broker/lite-topic.ts';
import { BrokerError } from '../../../../src/broker/errors.ts';
import { RedisKeys } from '../../../../src/broker/redis/keys.ts';
import { GroupQueue } from '../../../../src/broker/redis/queue/group-queue.ts';
import { PartitionQueue, RETRY_MS } from '../../../../src/broker/redis/queue/partition-queue.ts';
import { parseView } from '../../../../src/broker/redis/queue/queue-view.ts';
import type { QueueView } from '../../../../src/broker/redis/queue/queue-view.ts';
import type { RedisReply } from '../../../../src/broker/redis/connection/redis-commands.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const ALL = parseTopicPattern('request/*/*');

/** A partition whose replies the test releases. */
function place() {
  const clock = new ManualClock();
  const asked: { resolve: (reply: RedisReply) => void; reject: (error: unknown) => void }[] = [];
  const commands = {
    clock,
    keys: new RedisKeys('test', 1),
    run: () => new Promise<RedisReply>((resolve, reject) => asked.push({ resolve, reject })),
    subscribe: () => ({ close: () => undefined }),
  };
  const drained = (due = -1, more = 0, ...waiting: string[]): void =>
    asked.shift()?.resolve(['new', due, 'era 1 0 0', more, ...waiting]);
  const answered = (...reply: RedisReply[]): void => asked.shift()?.resolve(reply);
  const failed = (): void => asked.shift()?.reject(new BrokerError('unavailable', 'no'));
  const one = new PartitionQueue(new GroupQueue(commands, 'g', ALL), 0, clock);
  return { clock, drained, answered, failed, place: one };
}

/** A view in the form of the scripts. */
function view(
  clock: ManualClock,
  {
    high = '-',
    due = '-',
    age = 0,
  }: { readonly high?: number | '-'; readonly due?: number | '-'; readonly age?: number },
): QueueView {
  const parsed = parseView(`g 1 ${clock.now() - age} ${high} - - ${due === '-' ? '-' : clock.now() - age + due}`);
  if (parsed === undefined) throw new Error('not a view');
  return parsed.view;
}

/** A partition that was drained, and had nothing. */
async function empty() {
  const all = place();
  const drain = all.place.drain();
  all.drained();
  await drain;
  expect(all.place.drainAt).toBe(Infinity);
  return all;
}

test('a new partition queue is due', () => {
  const { place: one, clock } = place();
  expect(one.drainAt).toBeLessThanOrEqual(clock.mono());
});

test('a drain returns what came to wait, from the cursor to the next', async () => {
  const { place: one, drained } = place();
  one.cursor = 'era 0 0 0';
  const drain = one.drain();
  drained(-1, 0, 'request/x/a', 'high', '17');
  expect(await drain).toMatchObject({
    from: 'era 0 0 0',
    to: 'era 1 0 0',
    waiting: [{ topic: 'request/x/a', priority: 'high', turn: '17' }],
  });
});

test('a drain that did not return everything is followed by another', async () => {
  const { place: one, clock, drained } = place();
  const drain = one.drain();
  drained(-1, 1, 'request/x/a', 'high', '17');
  await drain;
  expect(one.drainAt).toBe(clock.mono());
});

test('a message about a topic that waits makes the partition due, and one about none does not', async () => {
  const { place: one, clock } = await empty();
  one.notified(view(clock, {}));
  expect(one.drainAt).toBe(Infinity);
  one.notified(view(clock, { high: 5 }));
  expect(one.drainAt).toBe(clock.mono());
});

test('a message that arrives during a drain counts after it', async () => {
  const { place: one, clock, drained } = await empty();
  const drain = one.drain();
  one.notified(view(clock, { high: 5 }));
  expect(one.drainAt).toBe(Infinity);
  drained();
  await drain;
  expect(one.drainAt).toBe(clock.mono());
});

test('a recheck that is requested during a drain counts after it', async () => {
  const { place: one, clock, drained } = await empty();
  const drain = one.drain();
  one.recheck();
  drained();
  await drain;
  expect(one.drainAt).toBe(clock.mono());
});

test('a deadline of a reply counts from the time of the request', async () => {
  const { place: one, clock, drained } = await empty();
  const sentAt = clock.mono();
  const drain = one.drain();
  await clock.advance(300);
  drained(1000);
  await drain;
  expect(one.drainAt).toBe(sentAt + 1000);
});

test('a deadline of a message is corrected by the age of the message', async () => {
  const { place: one, clock } = await empty();
  one.notified(view(clock, { due: 1000, age: 300 }));
  expect(one.drainAt).toBe(clock.mono() + 700);
});

test('a later deadline does not replace an earlier one', async () => {
  const { place: one, clock, answered } = await empty();
  one.notified(view(clock, { due: 1000 }));
  const lease = one.lease([]);
  answered('leased', 5000);
  await lease;
  expect(one.drainAt).toBe(clock.mono() + 1000);
});

test('a topic that waits again after its acknowledgement or when it is given back makes the partition due', async () => {
  const { place: one, clock, answered, drained } = await empty();
  const taken = { topic: 'request/x/a', epoch: 'e', offset: 0, attempt: 1, priority: 'high', token: 't' } as never;
  const ack = one.ack(taken, 1);
  answered('done', 1);
  expect(await ack).toBe('done');
  expect(one.drainAt).toBe(clock.mono());
  const drain = one.drain();
  drained();
  await drain;
  const nack = one.nack(taken, 0, true);
  answered(1, -1);
  expect(await nack).toBe(true);
  expect(one.drainAt).toBe(clock.mono());
});

test('a partition that failed is due again after a pause', async () => {
  const { place: one, clock, failed } = await empty();
  const drain = one.drain();
  failed();
  await expect(drain).rejects.toMatchObject({ code: 'unavailable' });
  expect(one.drainAt).toBe(clock.mono() + RETRY_MS);
});

test.each([
  '',
  'g',
  'g 1 2 3 4 5',
  'g 1 2 3 4 5 6 7',
  'g x 2 - - - -',
  'g 1 - - - - -',
  'g - 1 - - - -',
  'g 1 2  - - -',
])('%o is no view', (line) => {
  expect(parseView(line)).toBeUndefined();
});

test('a reply of another form is corrupt', async () => {
  const { place: one, answered } = place();
  const drain = one.drain();
  answered('new', 'something else');
  await expect(drain).rejects.toMatchObject({ code: 'corrupt' });
});
