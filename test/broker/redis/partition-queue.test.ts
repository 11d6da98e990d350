// A node's view of a group's queue in one partition, from replies and messages that may arrive in any order.
import { expect, test } from 'vitest';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { BrokerError } from '../../../src/broker/errors.ts';
import { RedisKeys } from '../../../src/broker/redis/keys.ts';
import { GroupQueue } from '../../../src/broker/redis/queue/group-queue.ts';
import { PartitionQueue, RETRY_MS } from '../../../src/broker/redis/queue/partition-queue.ts';
import { parseView } from '../../../src/broker/redis/queue/queue-view.ts';
import type { QueueView } from '../../../src/broker/redis/queue/queue-view.ts';
import type { RedisReply } from '../../../src/broker/redis/connection/redis-commands.ts';
import { ManualClock } from '../../support/manual-clock.ts';

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
  const answered = (text: string): void => asked.shift()?.resolve(['view', text]);
  const failed = (): void => asked.shift()?.reject(new BrokerError('unavailable', 'no'));
  return { clock, answered, failed, place: new PartitionQueue(new GroupQueue(commands, 'g', ALL), 0, clock) };
}

/** A view in the form of the scripts. */
function text(
  clock: ManualClock,
  turn: number,
  {
    high = '-',
    due = '-',
    age = 0,
  }: { readonly high?: number | '-'; readonly due?: number | '-'; readonly age?: number },
): string {
  return `g ${turn} ${clock.now() - age} ${high} - - ${due === '-' ? '-' : clock.now() - age + due}`;
}

function notified(line: string): QueueView {
  const parsed = parseView(line);
  if (parsed === undefined) throw new Error(`not a view: ${line}`);
  return parsed.view;
}

test('a new partition queue has no view and is due for a check', () => {
  const { place: one, clock } = place();
  expect(one.lookAt).toBeLessThanOrEqual(clock.mono());
  expect(one.head('high')).toBeUndefined();
});

test('a reply replaces an older message, and an older message after it is ignored', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  one.notified(notified(text(clock, 5, { high: 5 })));
  answered(text(clock, 6, {}));
  await look;
  expect(one.head('high')).toBeUndefined();
  one.notified(notified(text(clock, 4, { high: 4 })));
  expect(one.head('high')).toBeUndefined();
});

test('a reply is ignored when a newer message arrived before it', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  one.notified(notified(text(clock, 7, { high: 7 })));
  answered(text(clock, 6, {}));
  await look;
  expect(one.head('high')).toBe(7);
});

test('a reply with an older turn counts when no message arrived meanwhile, because another server may give the turns', async () => {
  const { place: one, clock, answered } = place();
  one.notified(notified(text(clock, 9, { high: 9 })));
  const look = one.look();
  answered(text(clock, 3, {}));
  await look;
  expect(one.head('high')).toBeUndefined();
  one.notified(notified(text(clock, 4, { high: 4 })));
  expect(one.head('high')).toBe(4);
});

test('a deadline of a reply counts from the time of the request, by the clock of the reply', async () => {
  const { place: one, clock, answered } = place();
  const sentAt = clock.mono();
  const look = one.look();
  await clock.advance(300);
  // The server's clock is an hour behind.
  answered(text(clock, 1, { due: 1000, age: 3_600_000 }));
  await look;
  expect(one.lookAt).toBe(sentAt + 1000);
  // A message repeats the deadline, by a clock that is behind: it changes nothing.
  one.notified(notified(text(clock, 2, { due: 1000, age: 3_600_000 })));
  expect(one.lookAt).toBe(sentAt + 1000);
});

test('a deadline of a message is corrected by the age of the message', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  answered(text(clock, 1, {}));
  await look;
  const line = text(clock, 2, { due: 1000 });
  const dueAt = clock.mono() + 1000;
  await clock.advance(300);
  one.notified(notified(line));
  expect(one.lookAt).toBe(dueAt);
});

test('a recheck that is requested during a check survives the reply', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  one.recheck();
  answered(text(clock, 1, {}));
  await look;
  expect(one.lookAt).toBe(clock.mono());
  const again = one.look();
  answered(text(clock, 2, {}));
  await again;
  expect(one.lookAt).toBe(Infinity);
});

test('a failed call drops the view, and the partition is checked again after a pause', async () => {
  const { place: one, clock, answered, failed } = place();
  const look = one.look();
  answered(text(clock, 1, { high: 1 }));
  await look;
  const take = one.take('high', 'token', 1000);
  expect(one.isTakenFrom).toBe(true);
  failed();
  await expect(take).rejects.toMatchObject({ code: 'unavailable' });
  expect([one.isTakenFrom, one.head('high'), one.lookAt]).toEqual([false, undefined, clock.mono() + RETRY_MS]);
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

test('a reply that is not a view is corrupt', async () => {
  const { place: one, answered } = place();
  const look = one.look();
  answered('something else');
  await expect(look).rejects.toMatchObject({ code: 'corrupt' });
});
