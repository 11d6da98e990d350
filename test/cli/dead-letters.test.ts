// `holdline topics dead` and `topics release`, over the socket of a running server.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { parseLiteTopicName, parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { connectAdmin } from '../../src/cli/admin/admin-client.ts';
import { AdminServer } from '../../src/cli/admin/admin-server.ts';
import { engineStore } from '../../src/cli/admin/engine-store.ts';
import { listLetters, releaseLetter } from '../../src/cli/topics.ts';
import { ManualClock } from '../support/manual-clock.ts';

const TOPIC = parseLiteTopicName('request/a/one');
const PATTERN = parseTopicPattern('request/a/*');

it('dead letters are listed and released once, and nothing else is released', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const server = new AdminServer(engineStore(broker), pino({ level: 'silent' }));
  await server.listen(folder);
  onTestFinished(async () => {
    await server.close();
    await broker.close();
    await rm(folder, { recursive: true });
  });
  await broker.append([{ topic: TOPIC, expect: { create: true }, records: [{ major: true, data: 'private' }] }]);
  const signal = new AbortController().signal;
  for await (const delivery of broker.consume('workers:a', PATTERN, { credit: 1, visibilityMs: 1000, signal })) {
    await delivery.reject('no-good');
    break;
  }
  const store = await connectAdmin(folder);
  if (store === undefined) throw new Error('no server answers');
  const lines: string[] = [];
  const notes: string[] = [];
  const output = { line: (text: string) => void lines.push(text), note: (text: string) => void notes.push(text) };
  await listLetters(store, 'workers:b', output);
  expect(lines).toEqual([]);
  expect(notes.splice(0)).toEqual(['there are no dead letters of workers:b']);
  await listLetters(store, '*', output);
  const [name = '', ...rest] = (lines.pop() ?? '').split('\t');
  expect(rest).toEqual([`${TOPIC} e.0`, 'no-good', '1 attempts', new Date(clock.now()).toISOString()]);
  await releaseLetter(store, name, output);
  expect(lines).toEqual([`released ${name}`]);
  for (const again of [name, TOPIC, 'dead/workers:a/none/one'])
    await expect(releaseLetter(store, again, output)).rejects.toThrow(/there is no dead letter/);
  expect((await broker.describe([TOPIC]))[0]?.next).toBe(2);
});
