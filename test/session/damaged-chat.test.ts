// Chats with damaged records: how they continue, what their runs become, and that all others stay whole.
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LogItem } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { mapError } from '../../src/gateway/error-map.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { isSessionError } from '../../src/session/errors.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { chatListTopic, chatTopic } from '../../src/session/topic-names.ts';
import { inputIdOf } from '../../src/session/waits/new-wait.ts';
import { append, major, readLines } from '../broker/contract/subject.ts';
import { openLog, segmentPath } from '../broker/log/opened-log.ts';
import { allTopics, ENGINES } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';
import { ALICE, answerOne, WaitNode } from '../support/waiting-run.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const YOU = { tenant: 't', user: 'you' };
const OTHER = { tenant: 't', user: 'other' };
const [DAMAGED, WHOLE] = [
  { tenant: 't', sessionId: 'damaged' },
  { tenant: 't', sessionId: 'whole' },
];

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

/** Changes one letter of each of these texts in the log of a stopped engine. */
async function damage(folder: string, ...texts: readonly string[]): Promise<void> {
  const bytes = await readFile(segmentPath(folder));
  for (const text of texts) {
    const at = bytes.indexOf(text);
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x54;
  }
  await writeFile(segmentPath(folder), bytes);
}

test('a chat that has lost its newest state continues from the state before it, and the other chats are whole', async () => {
  const log = await openLog();
  const before = new Sessions(log.broker, new CommandLog(log.broker, () => 0), log.clock);
  for (const ref of [DAMAGED, WHOLE]) await before.create(YOU, ref, { title: `first of ${ref.sessionId}` });
  await before.update(YOU, DAMAGED, { title: 'the newest title' });
  await log.broker.close();
  await damage(log.folder, 'the newest title');

  const broker = await log.reopen();
  const sessions = new Sessions(broker, new CommandLog(broker, () => 0), log.clock);
  const { sessions: listed } = await sessions.list(YOU, 10, undefined);
  expect(listed.map(({ sessionId, title }) => [sessionId, title]).toSorted()).toEqual([
    ['damaged', 'first of damaged'],
    ['whole', 'first of whole'],
  ]);
  await sessions.update(YOU, DAMAGED, { title: 'another title' });
  expect(await sessions.describe(YOU, DAMAGED)).toMatchObject({ title: 'another title' });
  expect(await readLines(broker, chatTopic(DAMAGED))).toEqual([
    expect.stringContaining('first of damaged'),
    '1-1 lost',
    expect.stringContaining('another title'),
  ]);
  await expect(sessions.remove(OTHER, DAMAGED)).rejects.toSatisfy((error) => isSessionError(error, 'not-found'));
  await sessions.remove(YOU, DAMAGED);
  expect((await sessions.list(YOU, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual(['whole']);
});

test('a run whose chat has lost its newest state ends with log-damaged, and the chat takes prompts', async () => {
  const log = await openLog();
  let ids = 0;
  const newId = (): string => `id${(ids += 1)}`;
  const commands = new CommandLog(log.broker, () => 0);
  const prompt = { content: 'x', agent: 'writer', model: '', priority: 'normal', onBusy: 'queue' } as const;
  await new Runs(log.broker, commands, log.clock, newId).send(YOU, DAMAGED, prompt);
  await new Sessions(log.broker, commands, log.clock).update(YOU, DAMAGED, { title: 'the newest title' });
  await log.broker.close();
  await damage(log.folder, 'the newest title');

  const broker = await log.reopen();
  const again = new CommandLog(broker, () => 0);
  const sessions = new Sessions(broker, again, log.clock);
  expect(await sessions.describe(YOU, DAMAGED)).not.toHaveProperty('activeRun');
  const { messages, lost } = await sessions.history(YOU, DAMAGED, 10, undefined);
  expect(messages).toMatchObject([{ content: 'x', status: 'failed' }]);
  expect(lost).toHaveLength(1);
  const lines = await readLines(broker, chatTopic(DAMAGED));
  expect(lines.at(-1)).toContain('log-damaged');
  const sent = await new Runs(broker, again, log.clock, newId).send(YOU, DAMAGED, prompt);
  expect(sent.queued).toBe(0);
});

test('a waiting run whose chat has lost its newest state ends with its inputs closed', async () => {
  const log = await openLog();
  const node = new WaitNode(log.broker, log.clock);
  const run = await node.begin(DAMAGED);
  await run.ask({ inputs: [{ key: 'a', kind: 'approval' }] });
  await node.sessions.update(ALICE, DAMAGED, { title: 'the newest title' });
  await log.broker.close();
  await damage(log.folder, 'the newest title');

  const again = new WaitNode(await log.reopen(), log.clock);
  const { messages } = await again.sessions.history(ALICE, DAMAGED, 10, undefined);
  expect(messages[1]).toMatchObject({ status: 'failed', inputs: [{ closed: 'cancelled' }] });
  const inputId = inputIdOf(run.run.runId, 0, 'a');
  const answer = answerOne(again.inputs, ALICE, DAMAGED, inputId, { approved: true });
  await expect(answer).rejects.toMatchObject({ code: 'not-waiting' });
});

test('an input whose request is lost is in no list and takes no answer, other inputs do, and the run can be stopped', async () => {
  const log = await openLog();
  const node = new WaitNode(log.broker, log.clock);
  const first = await node.begin(DAMAGED);
  const { runId } = first.run;
  await first.ask({ inputs: [{ key: 'a', kind: 'approval', message: 'May I pay the bill?' }] });
  await answerOne(node.inputs, ALICE, DAMAGED, inputIdOf(runId, 0, 'a'), { approved: true });
  await (await node.take(DAMAGED, runId)).ask({ inputs: [{ key: 'a', kind: 'approval', message: 'May I write?' }] });
  await node.sessions.update(ALICE, DAMAGED, { title: 'the newest title' });
  await log.broker.close();
  await damage(log.folder, 'May I pay the bill?');
  const again = new WaitNode(await log.reopen(), log.clock);
  const asked = await again.inputs.listAsked(ALICE, DAMAGED);
  expect(asked.map(({ message }) => message)).toEqual(['May I write?']);
  await again.broker.close();
  await damage(log.folder, 'May I write?');

  const last = new WaitNode(await log.reopen(), log.clock);
  expect(await last.inputs.listOpen(ALICE, DAMAGED)).toEqual([]);
  const inputId = inputIdOf(runId, 1, 'a');
  const { activeRun } = await last.sessions.describe(ALICE, DAMAGED);
  expect(activeRun).toMatchObject({ runId, state: 'waiting', inputs: [inputId] });
  const refused: unknown = await answerOne(last.inputs, ALICE, DAMAGED, inputId, { approved: true }).catch(
    (error: unknown) => error,
  );
  expect(mapError(refused)).toMatchObject({
    status: 409,
    error: { code: 'chat-damaged', retryable: false, message: expect.stringContaining('can be stopped') as unknown },
  });
  expect(await last.runs.cancel(ALICE, DAMAGED, undefined)).toMatchObject({ runId, ended: true });
});

test('a run with a lost input waits until its other inputs are answered, and after that', async () => {
  const log = await openLog();
  const isLost = (item: LogItem): boolean => item.kind === 'record' && item.data.includes('May I do a?');
  const broker = wrapBroker(log.broker, {
    read: async (...args) => {
      const result = await log.broker.read(...args);
      if (result.kind !== 'batch') return result;
      return { ...result, items: result.items.map((item) => (isLost(item) ? { ...item, data: '{' } : item)) };
    },
  });
  const node = new WaitNode(broker, log.clock);
  const run = await node.begin(WHOLE);
  const { runId } = run.run;
  await run.ask({ inputs: ['a', 'b'].map((key) => ({ key, kind: 'approval', message: `May I do ${key}?` })) });
  const answer = (key: string) => answerOne(node.inputs, ALICE, WHOLE, inputIdOf(runId, 0, key), { approved: true });
  await expect(answer('a')).rejects.toMatchObject({ code: 'chat-damaged' });
  expect(await answer('b')).toEqual({ runId, open: 1 });
  expect(await node.inputs.listOfWait(ALICE, WHOLE, runId)).toEqual([]);
  const { messages } = await node.sessions.history(ALICE, WHOLE, 10, undefined);
  expect(messages[1]).toMatchObject({ status: 'waiting', inputs: [{ answer: { approved: true } }] });
});

test('a chat that has lost every state answers chat-damaged, and the list leaves it out', async () => {
  const log = await openLog();
  const before = new Sessions(log.broker, new CommandLog(log.broker, () => 0), log.clock);
  for (const ref of [DAMAGED, WHOLE]) await before.create(YOU, ref, { title: `first of ${ref.sessionId}` });
  await log.broker.close();
  await damage(log.folder, 'first of damaged');

  const broker = await log.reopen();
  const sessions = new Sessions(broker, new CommandLog(broker, () => 0), log.clock);
  const refused: unknown = await sessions.history(YOU, DAMAGED, 10, undefined).catch((error: unknown) => error);
  expect(mapError(refused)).toMatchObject({ status: 409, error: { code: 'chat-damaged', retryable: false } });
  expect((await sessions.list(YOU, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual(['whole']);
});

test('a chat whose title cannot be read is described as in the list, and only to its owner', async () => {
  const log = await openLog();
  const broker = wrapBroker(log.broker, {
    read: (topic, from, options) =>
      topic !== chatTopic(WHOLE) && topic !== chatListTopic(YOU) && typeof from === 'object' && from.offset === 0
        ? Promise.reject(new BrokerError('corrupt', 'not readable'))
        : log.broker.read(topic, from, options),
  });
  const before = new Sessions(log.broker, new CommandLog(log.broker, () => 0), log.clock);
  for (const ref of [DAMAGED, WHOLE]) await before.create(YOU, ref, { title: `first of ${ref.sessionId}` });
  const hidden = { tenant: 't', sessionId: 'hidden' };
  await before.create(YOU, hidden, { title: 'x', isListed: false });
  const prompt = { content: 'x', agent: 'writer', model: '', priority: 'normal', onBusy: 'queue' } as const;
  const runs = new Runs(log.broker, new CommandLog(log.broker, () => 0), log.clock, () => 'id');
  for (const ref of [DAMAGED, hidden]) await runs.send(YOU, ref, prompt);

  const sessions = new Sessions(broker, new CommandLog(broker, () => 0), log.clock);
  const described = await sessions.describe(YOU, DAMAGED);
  expect(described).toMatchObject({ sessionId: 'damaged', damaged: true });
  expect((await sessions.list(YOU, 10, undefined)).sessions).toContainEqual(described);
  expect(await sessions.describe(YOU, hidden)).toMatchObject({ damaged: true, isListed: false });
  expect(await sessions.describe(YOU, WHOLE)).not.toHaveProperty('damaged');
  await expect(sessions.describe(OTHER, DAMAGED)).rejects.toSatisfy((error) => isSessionError(error, 'not-found'));
});

test('a damaged chat is removed with the requests of its agents', async () => {
  const log = await openLog();
  const commands = new CommandLog(log.broker, () => 0);
  const runs = new Runs(log.broker, commands, log.clock, () => 'id');
  const prompt = { content: 'x', agent: 'writer', model: '', priority: 'normal', onBusy: 'queue' } as const;
  await runs.send(YOU, DAMAGED, prompt);
  await new Sessions(log.broker, commands, log.clock).update(YOU, DAMAGED, { title: 'the newest title' });
  await log.broker.close();
  await damage(log.folder, 'the newest title');

  const broker = await log.reopen();
  expect(await allTopics(broker, 'request')).toHaveLength(1);
  await new Sessions(broker, new CommandLog(broker, () => 0), log.clock).remove(YOU, DAMAGED);
  await log.clock.advance(1000);
  await eventually(async () => (await allTopics(broker, 'request')).length === 0);
});

test('a damaged record of the list itself hides only the chats that it names, and the answer reports the damage', async () => {
  const log = await openLog();
  const named = (sessionId: string): { tenant: string; sessionId: string } => ({ tenant: 't', sessionId });
  const before = new Sessions(log.broker, new CommandLog(log.broker, () => 0), log.clock);
  const ids = Array.from({ length: 9 }, (_, i) => `chat-number-${i}`);
  for (const id of ids) await before.create(YOU, named(id), {});
  expect((await before.list(YOU, 10, undefined)).isDamaged).toBe(false);
  await log.broker.close();
  const bytes = await readFile(segmentPath(log.folder));
  for (const id of ['chat-number-8', 'chat-number-4', 'chat-number-0']) {
    const at = bytes.indexOf(`"chats":[["${id}"`);
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x54;
  }
  await writeFile(segmentPath(log.folder), bytes);

  const broker = await log.reopen();
  const sessions = new Sessions(broker, new CommandLog(broker, () => 0), log.clock);
  const readable = ids.filter((_, i) => i % 4 !== 0);
  const first = await sessions.list(YOU, 10, undefined);
  expect([first.sessions.map(({ sessionId }) => sessionId).toSorted(), first.isDamaged]).toEqual([readable, true]);
  await sessions.create(YOU, named('later'), {});
  const second = await sessions.list(YOU, 10, undefined);
  expect([second.sessions.map(({ sessionId }) => sessionId).toSorted(), second.isDamaged]).toEqual([
    [...readable, 'later'],
    true,
  ]);
});

test("a user's list › is read without a record that cannot be decoded, and the answer reports the damage", async () => {
  const { broker, clock } = await openLog();
  const sessions = new Sessions(broker, new CommandLog(broker, () => 0), clock);
  await sessions.create(YOU, WHOLE, {});
  await broker.append([
    { topic: chatListTopic(YOU), records: [{ major: false, data: '{' }], expect: { create: true } },
  ]);
  const { sessions: listed, isDamaged } = await sessions.list(YOU, 10, undefined);
  expect([listed.map(({ sessionId }) => sessionId), isDamaged]).toEqual([['whole'], true]);
});

describe.each(ENGINES)('a record that is no JSON, on the engine %s,', (_name, open) => {
  test('costs its chat what it held, and the chat continues; the other chats are whole', async () => {
    const { broker, clock } = await open(redis);
    let ids = 0;
    const newId = (): string => `id${(ids += 1)}`;
    const prompt = { content: 'x', agent: 'writer', model: '', priority: 'normal', onBusy: 'queue' } as const;
    const before = new CommandLog(broker, () => 0);
    for (const ref of [DAMAGED, WHOLE]) await new Runs(broker, before, clock, newId).send(YOU, ref, prompt);
    const whole = await readLines(broker, chatTopic(WHOLE));
    // What a storage without checksums returns for a record whose bytes have changed.
    await append(broker, chatTopic(DAMAGED), major('1 session.updated {"title":"the ne\n{"x'));

    const commands = new CommandLog(broker, () => 0);
    const sessions = new Sessions(broker, commands, clock);
    expect(await sessions.describe(YOU, DAMAGED)).not.toHaveProperty('activeRun');
    const { messages, lost } = await sessions.history(YOU, DAMAGED, 10, undefined);
    expect(messages).toMatchObject([{ content: 'x', status: 'failed' }]);
    expect(lost).toHaveLength(1);
    expect((await new Runs(broker, commands, clock, newId).send(YOU, DAMAGED, prompt)).queued).toBe(0);
    expect(await sessions.describe(YOU, WHOLE)).toHaveProperty('activeRun');
    expect(await readLines(broker, chatTopic(WHOLE))).toEqual(whole);
    await sessions.remove(YOU, DAMAGED);
    expect((await sessions.list(YOU, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual(['whole']);
  });
});
