// What a node believes of a group's queue in one partition, from replies and messages that may cross.
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

/** A partition whose replies come when the test says so. */
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

/** As the scripts write it. */
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

test('nothing is known at first, so it is to be looked at', () => {
  const { place: one, clock } = place();
  expect(one.lookAt).toBeLessThanOrEqual(clock.mono());
  expect(one.head('high')).toBeUndefined();
});

test('a reply that an older message crossed is believed, and an older message after it is not', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  one.notified(notified(text(clock, 5, { high: 5 })));
  answered(text(clock, 6, {}));
  await look;
  expect(one.head('high')).toBeUndefined();
  one.notified(notified(text(clock, 4, { high: 4 })));
  expect(one.head('high')).toBeUndefined();
});

test('a reply that a newer message overtook is not believed', async () => {
  const { place: one, clock, answered } = place();
  const look = one.look();
  one.notified(notified(text(clock, 7, { high: 7 })));
  answered(text(clock, 6, {}));
  await look;
  expect(one.head('high')).toBe(7);
});

test('a reply counts even if its turn is older where nothing was heard meanwhile: another server gives turns now', async () => {
  const { place: one, clock, answered } = place();
  one.notified(notified(text(clock, 9, { high: 9 })));
  const look = one.look();
  answered(text(clock, 3, {}));
  await look;
  expect(one.head('high')).toBeUndefined();
  one.notified(notified(text(clock, 4, { high: 4 })));
  expect(one.head('high')).toBe(4);
});

test('a deadline is kept by the clock of the reply, from when it was asked for', async () => {
  const { place: one, clock, answered } = place();
  const sentAt = clock.mono();
  const look = one.look();
  await clock.advance(300);
  // The server's clock is an hour behind.
  answered(text(clock, 1, { due: 1000, age: 3_600_000 }));
  await look;
  expect(one.lookAt).toBe(sentAt + 1000);
  // Told again, by a clock that seems to be late: nothing new.
  one.notified(notified(text(clock, 2, { due: 1000, age: 3_600_000 })));
  expect(one.lookAt).toBe(sentAt + 1000);
});

test('a deadline that is told is kept by the age of the message', async () => {
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

test('a doubt while it is being asked outlasts the reply', async () => {
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

test('a failure forgets what was known, and is tried again after a while', async () => {
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

test('a reply that is no view is corrupt', async () => {
  const { place: one, answered } = place();
  const look = one.look();
  answered('something else');
  await expect(look).rejects.toMatchObject({ code: 'corrupt' });
});
