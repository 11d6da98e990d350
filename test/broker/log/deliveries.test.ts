// What a crash leaves of the attempts and delays of deliveries. What a clean end leaves is in the broker's contract.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { append, CHAT, major, topicName } from '../contract/subject.ts';
import { said, TestWorker } from '../contract/worker.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, temporaryFolder } from './opened-log.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');
const HOUR = 60 * 60 * 1000;

test('an attempt is in the log before the next acknowledged append, so a crash counts it', async () => {
  let folder = await temporaryFolder();
  for (const attempt of [1, 2, 3]) {
    const { broker } = await openLog({ folder });
    if (attempt === 1) await append(broker, A, major('0'));
    const delivery = await new TestWorker(broker).next();
    expect([said(delivery), delivery.attempt]).toEqual([`${A} 0:0`, attempt]);
    await append(broker, CHAT, major('the consumer has begun'));
    folder = await crashCopy(folder);
  }
});

test('a delay is kept over a crash, and so is what was not counted', async () => {
  const { broker, folder, clock } = await openLog();
  await append(broker, A, major('0'));
  await append(broker, B, major('0'));
  const worker = new TestWorker(broker, { credit: 2 });
  await (await worker.next()).nack(HOUR);
  await (await worker.next()).nack(HOUR / 2, { count: false });
  await append(broker, CHAT, major('later'));
  const { broker: again } = await openLog({ folder: await crashCopy(folder), clock });
  const next = new TestWorker(again, { credit: 2 });
  let asked = next.next();
  for (const [topic, attempt] of [
    [B, 1],
    [A, 2],
  ] as const) {
    await clock.advance(HOUR / 2);
    const delivery = await asked;
    expect([delivery.topic, delivery.attempt]).toEqual([topic, attempt]);
    await delivery.ack();
    asked = next.next();
  }
  asked.catch(() => undefined);
});

test('the delay of a topic is kept over a crash', async () => {
  const { broker, folder, clock } = await openLog();
  await append(broker, A, major('late'), { delayMs: HOUR });
  await append(broker, B, major('0'));
  const { broker: again } = await openLog({ folder: await crashCopy(folder), clock });
  const worker = new TestWorker(again);
  expect(await worker.done()).toBe(`${B} 0:0`);
  const next = worker.next();
  await clock.advance(HOUR);
  expect(said(await next)).toBe(`${A} 0:late`);
});

test('a request that cannot begin takes nothing of the reserve of a full disk', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  const logBytes = async (): Promise<number> => {
    const names = await readdir(join(folder, 'log'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, 'log', name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  await append(broker, A, major('0'));
  await append(broker, B, major('0'));
  const worker = new TestWorker(broker);
  let delivery = await worker.next();
  files.room = 0;
  await expect(append(broker, CHAT, major('no room'))).rejects.toThrow('disk-full');
  await broker.remove(CHAT);
  const before = await logBytes();
  for (let i = 0; i < 20; i++) {
    await delivery.nack(0, { count: false });
    delivery = await worker.next();
  }
  await broker.remove(delivery.topic === A ? B : A);
  // One frame that removes a topic, with the head of its batch and of a new segment.
  expect((await logBytes()) - before).toBeLessThan(250);
});
